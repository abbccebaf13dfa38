// SPDX-License-Identifier: Apache-2.0

// Package record keeps what is known of a workshop in the cluster: the Spec as
// last deployed, the Specs before it, and the list of the objects that may
// exist. It is one ConfigMap (workshop.Names.Record), because namespace admins
// may write those everywhere.
//
// The record is written before the objects it speaks of, so that whatever
// interrupts a deploy, the next command knows what may be there. It holds no
// secrets but those that a person puts into the Spec, where they are as
// readable as in the environment of the pods.
package record

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// MaxHistory is how many revisions a record keeps.
const MaxHistory = 10

// Revision is one Spec that was deployed.
type Revision struct {
	Number int `json:"revision"`
	// Time of the deploy, in UTC and whole seconds.
	Time time.Time `json:"time"`
	// Author is the user name that the cluster knows the deployer by; empty
	// where the cluster didn't say. Save fills it in.
	Author string `json:"author,omitempty"`
	// Cause is the command that deployed, without secrets (CommandLine).
	Cause string        `json:"cause,omitempty"`
	Spec  workshop.Spec `json:"spec"`
}

// Record is what the cluster remembers of one workshop.
type Record struct {
	// Spec as last deployed (or about to be), defaults filled in.
	Spec workshop.Spec
	// History of the Specs, oldest first; the last one is Spec's.
	History []Revision
	// Inventory lists the objects that may exist, in the order of application.
	Inventory []Ref

	// What Load read, and nil for a record that was never saved.
	loaded *corev1.ConfigMap
	// The Spec in loaded, whose labels and annotations Save takes off again.
	loadedSpec workshop.Spec
}

// New starts the record of a workshop that has none.
func New() *Record { return &Record{} }

// Revision returns the number of the current Spec, 0 before the first.
func (r *Record) Revision() int {
	if len(r.History) == 0 {
		return 0
	}
	return r.History[len(r.History)-1].Number
}

// Begin puts down the intent to deploy a Spec whose objects are those given:
// a new revision if the Spec differs from the last one, and an inventory with
// the old objects and the new. Save it before the first object is written.
func (r *Record) Begin(spec workshop.Spec, objects []Ref, cause string, now time.Time) error {
	same, err := equal(spec, r.Spec)
	if err != nil {
		return err
	}
	if !same || len(r.History) == 0 {
		r.History = append(slices.Clip(r.History), Revision{
			Number: r.Revision() + 1, Time: now.UTC().Truncate(time.Second), Cause: cause, Spec: spec,
		})
		r.History = r.History[max(0, len(r.History)-MaxHistory):]
	}
	r.Spec = spec
	r.Inventory = slices.Concat(objects, Without(r.Inventory, objects))
	return nil
}

// Amend completes the current Spec with what became known after Begin, as part
// of the same revision.
func (r *Record) Amend(spec workshop.Spec) {
	r.Spec = spec
	if last := len(r.History) - 1; last >= 0 {
		r.History[last].Spec = spec
	}
}

// Finish puts down that nothing but the objects given can exist any more; save
// it after the prune. kept are objects that the Spec no longer wants and that
// were left alone nonetheless (volumes).
func (r *Record) Finish(objects, kept []Ref) {
	r.Inventory = slices.Concat(objects, Without(kept, objects))
}

// equal compares Specs as they are written down, where an empty list and none
// are the same.
func equal(a, b workshop.Spec) (bool, error) {
	x, err := workshop.FormatFile(a)
	if err != nil {
		return false, fmt.Errorf("write the Spec down: %w", err)
	}
	y, err := workshop.FormatFile(b)
	if err != nil {
		return false, fmt.Errorf("write the Spec down: %w", err)
	}
	return bytes.Equal(x, y), nil
}

var (
	userinfo = regexp.MustCompile(`(://)[^/@\s]+@`)
	// Words that a shell takes as they are.
	plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./*-]+$`)
)

// secretFlags take a value that isn't for others to read: environment
// variables, and the credentials among kubectl's own flags.
var secretFlags = []string{"--env", "--token", "--password"}

// CommandLine writes a command with what may be secret in it masked: values
// of --env and of kubectl's credentials, and passwords in URLs.
func CommandLine(args []string) string {
	words := make([]string, len(args))
	flag := ""
	for i, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		switch {
		case flag != "":
			arg, flag = mask(flag, arg), ""
		case slices.Contains(secretFlags, name) && ok:
			arg = name + "=" + mask(name, value)
		case slices.Contains(secretFlags, arg):
			flag = arg
		}
		arg = userinfo.ReplaceAllString(arg, "${1}***@")
		if !plainWord.MatchString(arg) {
			arg = strconv.Quote(arg)
		}
		words[i] = arg
	}
	return strings.Join(words, " ")
}

// mask hides a flag's value, but not the name of an environment variable.
func mask(flag, value string) string {
	if name, _, ok := strings.Cut(value, "="); ok && flag == "--env" {
		return name + "=***"
	}
	return "***"
}
