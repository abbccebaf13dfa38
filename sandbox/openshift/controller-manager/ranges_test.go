// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"testing"

	securityv1 "github.com/openshift/api/security/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The blocks are those that a cluster gives its first namespaces.
func TestBlockAt(t *testing.T) {
	for i, want := range map[int]block{
		0: {"1000000000/10000", "s0:c1,c0"}, 1: {"1000010000/10000", "s0:c3,c2"},
		66: {"1000660000/10000", "s0:c26,c5"}, 67: {"1000670000/10000", "s0:c26,c10"},
	} {
		if got := blockAt(i); got != want {
			t.Errorf("block %d is %v; want %v", i, got, want)
		}
	}
}

func namespace(name, uids string) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if uids != "" {
		ns.Annotations = map[string]string{securityv1.UIDRangeAnnotation: uids}
	}
	return ns
}

func TestAssign(t *testing.T) {
	dying := namespace("dying", "")
	dying.DeletionTimestamp = &metav1.Time{}
	namespaces := []*corev1.Namespace{namespace("c", ""), namespace("b", blockAt(1).uids), namespace("a", ""), dying, namespace("given", "")}
	got := assign(namespaces, map[string]block{"given": blockAt(0)})
	want := map[string]block{"a": blockAt(2), "c": blockAt(3)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
	if got := assign([]*corev1.Namespace{namespace("b", blockAt(1).uids)}, nil); len(got) != 0 {
		t.Errorf("without a namespace that needs one: %v", got)
	}
}
