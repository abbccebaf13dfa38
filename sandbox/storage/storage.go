// SPDX-License-Identifier: Apache-2.0

// Package storage gives each claim of its class a volume of type local, which
// is a directory of the node. The kubelet applies fsGroup to such volumes,
// as it does not to hostPath ones. Sizes are not enforced.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	listerscorev1 "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// Config of the provisioner.
type Config struct {
	// Root is the directory that holds a directory for each volume. It is
	// made if it isn't there.
	Root string
	// NodeName is the one node that the volumes are on. Without it they are on
	// any node that the scheduler chooses, which only simulated ones can be.
	NodeName string
	// ClassName is the name of the StorageClass, which is made the default.
	ClassName string
	// Log receives a line for each volume made or removed. Nil discards them.
	Log func(format string, args ...any)
}

// provisionerName is what StorageClass objects call this provisioner.
const provisionerName = "workshop-sandbox/local"

// Annotations by which the scheduler and the controller manager speak to a
// provisioner, and it to them.
const (
	annotationDefaultClass  = "storageclass.kubernetes.io/is-default-class"
	annotationProvisioner   = "volume.kubernetes.io/storage-provisioner"
	annotationSelectedNode  = "volume.kubernetes.io/selected-node"
	annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"
)

// workers is how many volumes are made or removed at once.
const workers = 4

// volumeName is the form of our volumes' names, which are their directories'
// too: made of the UID of the claim and nothing that a user writes.
var volumeName = regexp.MustCompile(`^pvc-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// Run serves until ctx ends.
func Run(ctx context.Context, rc *rest.Config, cfg Config) error {
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	if err := run(ctx, client, cfg); err != nil && ctx.Err() == nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

// item of the work queue: a claim, or a volume if the namespace is empty.
type item = types.NamespacedName

type provisioner struct {
	cfg     Config
	client  kubernetes.Interface
	root    *os.Root
	claims  listerscorev1.PersistentVolumeClaimLister
	volumes listerscorev1.PersistentVolumeLister
	events  record.EventRecorder
	queue   workqueue.TypedRateLimitingInterface[item]
}

func run(ctx context.Context, client kubernetes.Interface, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	var err error
	if cfg.Root, err = filepath.Abs(cfg.Root); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Root, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(cfg.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := ensureClass(ctx, client, cfg.ClassName); err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster(record.WithContext(context.WithoutCancel(ctx)))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})

	factory := informers.NewSharedInformerFactory(client, 0)
	claims, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	p := &provisioner{
		cfg: cfg, client: client, root: root,
		claims: claims.Lister(), volumes: volumes.Lister(),
		events: broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "sandbox-storage"}),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[item](100*time.Millisecond, 30*time.Second)),
	}
	defer p.queue.ShutDown()
	add := func(o any) {
		if m, ok := o.(metav1.Object); ok {
			p.queue.Add(item{Namespace: m.GetNamespace(), Name: m.GetName()})
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }}
	for _, i := range []cache.SharedIndexInformer{claims.Informer(), volumes.Informer()} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("list %v: %w", kind, context.Cause(ctx))
		}
	}
	if err := p.sweep(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	p.queue.ShutDown()
	wg.Wait()
	return ctx.Err()
}

// ensureClass makes the StorageClass. A volume waits for the pod that wants
// it: one that is bound at once may be missed by the scheduler, which then
// leaves the pod pending for minutes.
func ensureClass(ctx context.Context, client kubernetes.Interface, name string) error {
	reclaim, binding := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingWaitForFirstConsumer
	classes := client.StorageV1().StorageClasses()
	_, err := classes.Create(ctx, &storagev1.StorageClass{
		ObjectMeta:        metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationDefaultClass: "true"}},
		Provisioner:       provisionerName,
		ReclaimPolicy:     &reclaim,
		VolumeBindingMode: &binding,
	}, metav1.CreateOptions{})
	if err == nil || !apierrors.IsAlreadyExists(err) {
		return err
	}
	class, err := classes.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if class.Provisioner != provisionerName {
		return fmt.Errorf("the StorageClass %q belongs to the provisioner %q", name, class.Provisioner)
	}
	return nil
}

// sweep removes directories that no volume and no claim accounts for, such as
// those of volumes that were deleted while nobody watched.
func (p *provisioner) sweep() error {
	wanted := map[string]bool{}
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, v := range volumes {
		wanted[v.Name] = true
	}
	claims, err := p.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, c := range claims {
		wanted[nameFor(c)] = true
	}
	entries, err := fs.ReadDir(p.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !volumeName.MatchString(e.Name()) || wanted[e.Name()] {
			continue
		}
		if err := p.root.RemoveAll(e.Name()); err != nil {
			return err
		}
		p.cfg.Log("storage: %s belonged to no volume and is removed", e.Name())
	}
	return nil
}

// next handles one item of the queue. It returns false when there are no more.
func (p *provisioner) next(ctx context.Context) bool {
	it, shutdown := p.queue.Get()
	if shutdown {
		return false
	}
	defer p.queue.Done(it)
	var err error
	if it.Namespace == "" {
		err = p.volume(ctx, it.Name)
	} else {
		err = p.claim(ctx, it)
	}
	switch {
	case err == nil || ctx.Err() != nil:
		p.queue.Forget(it)
	default:
		p.cfg.Log("storage: %v", err)
		p.queue.AddRateLimited(it)
	}
	return true
}

func nameFor(c *corev1.PersistentVolumeClaim) string { return "pvc-" + string(c.UID) }

// claim makes the volume of a claim that waits for us.
func (p *provisioner) claim(ctx context.Context, key item) error {
	c, err := p.claims.PersistentVolumeClaims(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if c.Spec.VolumeName != "" || c.DeletionTimestamp != nil ||
		c.Spec.StorageClassName == nil || *c.Spec.StorageClassName != p.cfg.ClassName ||
		c.Annotations[annotationProvisioner] != provisionerName || !p.serves(c.Annotations[annotationSelectedNode]) {
		return nil
	}
	if reason := unsupported(c); reason != "" {
		p.events.Event(c, corev1.EventTypeWarning, "ProvisioningFailed", reason)
		return nil
	}
	name := nameFor(c)
	if !volumeName.MatchString(name) {
		return fmt.Errorf("claim %s: its UID %q is none", key, c.UID)
	}
	if _, err := p.volumes.Get(name); err == nil {
		return nil // made already, and about to be bound
	}
	// As a new file system would be: who may write to it is decided by the
	// pod's fsGroup, which the kubelet applies.
	if err := p.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, p.newVolume(c), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		err = fmt.Errorf("make a volume for claim %s: %w", key, err)
		p.events.Event(c, corev1.EventTypeWarning, "ProvisioningFailed", err.Error())
		return err
	}
	p.events.Eventf(c, corev1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s", name)
	p.cfg.Log("storage: volume %s made for claim %s", name, key)
	return nil
}

// serves says whether volumes are on that node.
func (p *provisioner) serves(node string) bool {
	return node != "" && (p.cfg.NodeName == "" || p.cfg.NodeName == node)
}

// unsupported says what a claim wants that a directory can't give.
func unsupported(c *corev1.PersistentVolumeClaim) string {
	switch {
	case c.Spec.VolumeMode != nil && *c.Spec.VolumeMode == corev1.PersistentVolumeBlock:
		return "volumes of this class are directories, not block devices"
	case c.Spec.Selector != nil:
		return "volumes of this class are made anew and can't be selected by label"
	case c.Spec.DataSource != nil || c.Spec.DataSourceRef != nil:
		return "volumes of this class start empty: a dataSource is not supported"
	}
	return ""
}

func (p *provisioner) newVolume(c *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	name := nameFor(c)
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationProvisionedBy: provisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:              p.cfg.ClassName,
			AccessModes:                   c.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: c.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef: &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: c.Namespace, Name: c.Name, UID: c.UID, ResourceVersion: c.ResourceVersion},
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: p.path(name)}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{c.Annotations[annotationSelectedNode]}}},
			}}}},
		},
	}
}

func (p *provisioner) path(name string) string { return filepath.Join(p.cfg.Root, name) }

// volume removes a volume of ours that its claim has let go of, files first.
func (p *provisioner) volume(ctx context.Context, name string) error {
	v, err := p.volumes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	released := v.Status.Phase == corev1.VolumeReleased || v.Status.Phase == corev1.VolumeFailed
	if !released || v.Annotations[annotationProvisionedBy] != provisionerName || v.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	// Anybody who may write volumes can make one that looks like ours.
	if !volumeName.MatchString(name) || v.Spec.Local == nil || v.Spec.Local.Path != p.path(name) {
		p.events.Event(v, corev1.EventTypeWarning, "VolumeFailedDelete", "this volume was not made by the provisioner that it names")
		return nil
	}
	if err := p.root.RemoveAll(name); err != nil {
		return fmt.Errorf("remove the files of volume %s: %w", name, err)
	}
	if err := p.client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete volume %s: %w", name, err)
	}
	p.cfg.Log("storage: volume %s removed", name)
	return nil
}
