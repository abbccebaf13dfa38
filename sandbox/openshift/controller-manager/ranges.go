// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	securityv1 "github.com/openshift/api/security/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// OpenShift's numbers: ten thousand UIDs a namespace from a thousand million
// on, and MCS labels in blocks of five.
const (
	firstUID     = 1000000000
	uidsPerBlock = 10000
	mcsPerBlock  = 5
)

// block is the part of UIDs and MCS labels that one namespace gets.
type block struct{ uids, mcs string }

// blockAt returns block i. MCS labels are pairs of different categories,
// counted c1,c0 c2,c0 c2,c1 c3,c0 …
func blockAt(i int) block {
	high, low := 1, i*mcsPerBlock
	for low >= high {
		low -= high
		high++
	}
	return block{
		uids: fmt.Sprintf("%d/%d", firstUID+i*uidsPerBlock, uidsPerBlock),
		mcs:  fmt.Sprintf("s0:c%d,c%d", high, low),
	}
}

// assign gives each namespace without a block the first free one. Those in
// given have one that the list doesn't show yet.
func assign(namespaces []*corev1.Namespace, given map[string]block) map[string]block {
	used := map[string]bool{}
	for _, b := range given {
		used[b.uids] = true
	}
	var without []string
	for _, ns := range namespaces {
		_, has := given[ns.Name]
		if uids := ns.Annotations[securityv1.UIDRangeAnnotation]; uids != "" {
			used[uids] = true
		} else if !has && ns.DeletionTimestamp == nil {
			without = append(without, ns.Name)
		}
	}
	sort.Strings(without)
	next := map[string]block{}
	i := 0
	for _, name := range without {
		b := blockAt(i)
		for ; used[b.uids]; b = blockAt(i) {
			i++
		}
		used[b.uids] = true
		next[name] = b
	}
	return next
}

// rangeController annotates every namespace with the UIDs, groups and MCS
// label that admission gives its pods. In OpenShift that is a task of the
// cluster-policy-controller.
type rangeController struct {
	lister corelisters.NamespaceLister
	synced cache.InformerSynced
	client coreclient.NamespaceInterface
	wake   chan struct{}
	given  map[string]block // written, and not seen in the lister yet
}

func newRangeController(informer coreinformers.NamespaceInformer, client coreclient.NamespaceInterface) *rangeController {
	c := &rangeController{
		lister: informer.Lister(), synced: informer.Informer().HasSynced, client: client,
		wake: make(chan struct{}, 1), given: map[string]block{},
	}
	informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(interface{}) { c.poke() },
		UpdateFunc: func(_, _ interface{}) { c.poke() },
		DeleteFunc: func(interface{}) { c.poke() },
	})
	return c
}

func (c *rangeController) poke() {
	select {
	case c.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run annotates until stop is closed.
func (c *rangeController) run(stop <-chan struct{}) {
	if !cache.WaitForCacheSync(stop, c.synced) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-stop; cancel() }()
	for {
		var again <-chan time.Time
		if err := c.sync(ctx); err != nil && ctx.Err() == nil {
			klog.Errorf("annotate namespaces, to be tried again: %v", err)
			again = time.After(time.Second)
		}
		select {
		case <-stop:
			return
		case <-c.wake:
		case <-again:
		}
	}
}

func (c *rangeController) sync(ctx context.Context) error {
	namespaces, err := c.lister.List(labels.Everything())
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, ns := range namespaces {
		there[ns.Name] = true
		if ns.Annotations[securityv1.UIDRangeAnnotation] != "" {
			delete(c.given, ns.Name)
		}
	}
	for name := range c.given {
		if !there[name] {
			delete(c.given, name)
		}
	}
	for name, b := range assign(namespaces, c.given) {
		patch, err := json.Marshal(map[string]interface{}{"metadata": map[string]interface{}{"annotations": map[string]string{
			securityv1.UIDRangeAnnotation:           b.uids,
			securityv1.SupplementalGroupsAnnotation: b.uids,
			securityv1.MCSAnnotation:                b.mcs,
		}}})
		if err != nil {
			return err
		}
		switch _, err := c.client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); {
		case errors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("namespace %s: %w", name, err)
		default:
			c.given[name] = b
		}
	}
	return nil
}
