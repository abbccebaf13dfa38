// SPDX-License-Identifier: Apache-2.0

package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"k8s.io/client-go/kubernetes"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Keys of the ConfigMap.
const (
	KeySpec      = "spec.yaml"
	KeyInventory = "inventory.json"
	KeyHistory   = "history.json"
)

// FormatAnnotation says in which format the record is written, as a number;
// Format is the one that this version writes, and the highest it reads.
const (
	FormatAnnotation = "workshopctl.io/record-format"
	Format           = 1
)

// maxSize of the record's data in bytes. The API server takes a ConfigMap of
// at most 1 MiB.
const maxSize = 900 << 10

// Store reads and writes the records of a namespace.
type Store struct {
	client    kubernetes.Interface
	namespace string
	version   string
}

// NewStore returns the store of a namespace. version is workshopctl's own.
func NewStore(client kubernetes.Interface, namespace, version string) *Store {
	return &Store{client: client, namespace: namespace, version: version}
}

// Load reads the record of a workshop. Errors: *NotFoundError, *ForeignError,
// *UnreadableError, or the API's.
func (s *Store) Load(ctx context.Context, name string) (*Record, error) {
	cm, err := s.client.CoreV1().ConfigMaps(s.namespace).Get(ctx, workshop.Names(name).Record(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, &NotFoundError{Namespace: s.namespace, Name: name}
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of workshop %q: %w", name, err)
	}
	return s.read(cm, name)
}

// List reads all records of the namespace in one request, by name. Records
// that this version can't read come as an error joined of one per workshop,
// beside those that it can.
func (s *Store) List(ctx context.Context) ([]*Record, error) {
	selector := labels.SelectorFromSet(labels.Set{
		workshop.LabelManagedBy: workshop.ManagedBy,
		workshop.LabelComponent: string(workshop.ComponentRecord),
	})
	list, err := s.client.CoreV1().ConfigMaps(s.namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, fmt.Errorf("list the workshops in namespace %q: %w", s.namespace, err)
	}
	var records []*Record
	var errs []error
	for i := range list.Items {
		cm := &list.Items[i]
		r, err := s.read(cm, cm.Labels[workshop.LabelInstance])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b *Record) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	return records, errors.Join(errs...)
}

// Save writes a record that Load or New returned. It writes nothing if nothing
// has changed. If somebody else wrote it since it was loaded, the error is a
// *ConflictError and nothing was written.
func (s *Store) Save(ctx context.Context, r *Record) error {
	name := r.Spec.Name
	s.sign(ctx, r)
	cm, err := s.write(r)
	if err != nil {
		return err
	}
	client := s.client.CoreV1().ConfigMaps(s.namespace)
	switch {
	case r.loaded == nil:
		cm, err = client.Create(ctx, cm, metav1.CreateOptions{FieldManager: workshop.ManagedBy})
	case equality.Semantic.DeepEqual(cm, r.loaded):
		return nil
	default:
		// The resourceVersion of the record that was loaded goes along, so
		// that the API server refuses to overwrite anybody else's.
		cm, err = client.Update(ctx, cm, metav1.UpdateOptions{FieldManager: workshop.ManagedBy})
	}
	switch {
	case err == nil:
		r.loaded, r.loadedSpec = cm, r.Spec
		return nil
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && r.loaded != nil:
		return s.conflict(ctx, name, r.loaded)
	default:
		return fmt.Errorf("write the record of workshop %q: %w", name, err)
	}
}

// Delete removes a record, last of all; one that is gone is no error. If
// somebody else wrote it since it was loaded, the error is a *ConflictError.
func (s *Store) Delete(ctx context.Context, r *Record) error {
	if r.loaded == nil {
		return nil
	}
	err := s.client.CoreV1().ConfigMaps(s.namespace).Delete(ctx, r.loaded.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &r.loaded.UID, ResourceVersion: &r.loaded.ResourceVersion},
	})
	switch {
	case err == nil, apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err):
		return s.conflict(ctx, r.Spec.Name, r.loaded)
	default:
		return fmt.Errorf("delete the record of workshop %q: %w", r.Spec.Name, err)
	}
}

// sign writes the author under a new revision. Clusters that don't answer the
// question (before Kubernetes 1.28) leave it open; nothing depends on it.
func (s *Store) sign(ctx context.Context, r *Record) {
	if len(r.History) == 0 {
		return
	}
	last := &r.History[len(r.History)-1]
	if last.Author != "" || (r.loaded != nil && last.Number <= lastNumber(r.loaded)) {
		return
	}
	review, err := s.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err == nil {
		last.Author = review.Status.UserInfo.Username
	}
}

// lastNumber is the number of the newest revision in a record.
func lastNumber(cm *corev1.ConfigMap) int {
	var history []struct {
		Number int `json:"revision"`
	}
	if json.Unmarshal([]byte(cm.Data[KeyHistory]), &history) != nil || len(history) == 0 {
		return 0
	}
	return history[len(history)-1].Number
}

// conflict finds out who was faster.
func (s *Store) conflict(ctx context.Context, name string, loaded *corev1.ConfigMap) error {
	theirs, err := s.Load(ctx, name)
	if _, ok := errors.AsType[*NotFoundError](err); ok {
		return &ConflictError{Namespace: s.namespace, Name: name, Deleted: true}
	}
	if err != nil {
		return err
	}
	e := &ConflictError{Namespace: s.namespace, Name: name}
	if n := len(theirs.History); n > 0 && (loaded == nil || theirs.Revision() != lastNumber(loaded)) {
		e.Theirs = &theirs.History[n-1]
	}
	return e
}

// read takes a record out of its ConfigMap.
func (s *Store) read(cm *corev1.ConfigMap, name string) (*Record, error) {
	if cm.Labels[workshop.LabelManagedBy] != workshop.ManagedBy || cm.Labels[workshop.LabelInstance] != name ||
		cm.Labels[workshop.LabelComponent] != string(workshop.ComponentRecord) {
		return nil, &ForeignError{Namespace: s.namespace, Name: name, ConfigMap: cm.Name}
	}
	unreadable := func(problem string) error {
		return &UnreadableError{Namespace: s.namespace, Name: name, Version: cm.Labels[workshop.LabelVersion], Problem: problem}
	}
	if format, err := strconv.Atoi(cm.Annotations[FormatAnnotation]); err != nil || format > Format {
		return nil, unreadable(fmt.Sprintf("its format is %q (annotation %s), this version reads up to %d", cm.Annotations[FormatAnnotation], FormatAnnotation, Format))
	}
	r := &Record{loaded: cm}
	var err error
	if r.Spec, err = workshop.ParseFile([]byte(cm.Data[KeySpec])); err != nil {
		return nil, unreadable(KeySpec + ": " + err.Error())
	}
	if r.Spec.Name != name {
		return nil, unreadable(fmt.Sprintf("%s is that of workshop %q", KeySpec, r.Spec.Name))
	}
	if err := json.Unmarshal([]byte(cm.Data[KeyHistory]), &r.History); err != nil {
		return nil, unreadable(KeyHistory + ": " + err.Error())
	}
	if err := json.Unmarshal([]byte(cm.Data[KeyInventory]), &r.Inventory); err != nil {
		return nil, unreadable(KeyInventory + ": " + err.Error())
	}
	r.loadedSpec = r.Spec
	return r, nil
}

// write makes the ConfigMap of a record, from the one that was loaded where
// there is one, so that labels which others put on it stay.
func (s *Store) write(r *Record) (*corev1.ConfigMap, error) {
	n := workshop.Names(r.Spec.Name)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: n.Record(), Namespace: s.namespace}}
	if r.loaded != nil {
		cm = r.loaded.DeepCopy()
	}
	cm.Labels = replace(cm.Labels, r.loadedSpec.Labels, r.Spec.Labels, n.Labels(workshop.ComponentRecord),
		map[string]string{workshop.LabelVersion: labelValue(s.version)})
	cm.Annotations = replace(cm.Annotations, r.loadedSpec.Annotations, r.Spec.Annotations,
		map[string]string{FormatAnnotation: strconv.Itoa(Format)})

	spec, err := workshop.FormatFile(r.Spec)
	if err != nil {
		return nil, fmt.Errorf("write the record of workshop %q: %w", n, err)
	}
	inventory, err := jsonLines(r.Inventory)
	if err != nil {
		return nil, fmt.Errorf("write the record of workshop %q: %w", n, err)
	}
	for oldest := 0; ; oldest++ {
		history, err := jsonLines(r.History[min(oldest, len(r.History)):])
		if err != nil {
			return nil, fmt.Errorf("write the record of workshop %q: %w", n, err)
		}
		if len(spec)+len(inventory)+len(history) <= maxSize {
			cm.Data = map[string]string{KeySpec: string(spec), KeyInventory: inventory, KeyHistory: history}
			r.History = r.History[min(oldest, len(r.History)):]
			return cm, nil
		}
		// The number of the current revision must not get lost.
		if oldest >= len(r.History)-1 {
			return nil, fmt.Errorf("write the record of workshop %q: its Spec has %d KiB, a record holds %d (it has the Spec twice); is the caBundle the whole list of public authorities? It needs only those that the images lack", n, len(spec)>>10, maxSize>>10)
		}
	}
}

// jsonLines writes a list with an element a line, for people who look at the
// ConfigMap.
func jsonLines[T any](list []T) (string, error) {
	lines := make([]string, len(list))
	for i, element := range list {
		b, err := json.Marshal(element)
		if err != nil {
			return "", err
		}
		lines[i] = string(b)
	}
	return "[" + strings.Join(lines, ",\n") + "]\n", nil
}

// replace takes the old keys out of m and puts the new ones in.
func replace(m, old map[string]string, new ...map[string]string) map[string]string {
	result := maps.Clone(m)
	if result == nil {
		result = map[string]string{}
	}
	for k := range old {
		delete(result, k)
	}
	for _, n := range new {
		maps.Copy(result, n)
	}
	return result
}

// labelValue writes a version as a label's value, where build metadata's "+"
// isn't allowed.
func labelValue(version string) string { return strings.ReplaceAll(version, "+", "_") }
