// SPDX-License-Identifier: Apache-2.0

// Package status is the command `status`.
package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/workshopctl/workshopctl/pkg/apply"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/image"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/rollout"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Options of the command.
type Options struct {
	factory.WorkshopOptions
	Watch         bool
	ShowPasswords bool
	Format        output.Format
}

// NewCommand returns the command. A test may put its own run in place.
func NewCommand(f *factory.Factory, run factory.Run[*Options]) *cobra.Command {
	o := &Options{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the parts, images, sessions and storage of a workshop",
		Long: `Shows the parts of a workshop and whether they are ready, the image that new
sessions get, how many sessions there are in which state, and what storage they use.
What isn't ready is explained as far as the cluster knows.

It works without a running hub; only who is idle is not known then.`,
		Example: `  workshopctl status
  workshopctl status -w

  # How do attendees and admins log in?
  workshopctl status --show-passwords

  # In a script
  workshopctl status -o jsonpath='{.ready}'`,
		Args: factory.Args(),
		RunE: factory.RunE(f, o, run, Run),
	}
	o.AddFlags(f, cmd)
	cmd.Flags().BoolVarP(&o.Watch, "watch", "w", false, "Go on showing the parts as they change, until Ctrl-C")
	cmd.Flags().BoolVar(&o.ShowPasswords, "show-passwords", false, "Show the passwords of attendees and admins")
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.JSONPath)
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *Options) Validate() error {
	if o.Watch && o.Format.Machine() {
		return fault.Usage("--watch is for people; leave --output out")
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.Format.Validate())
}

// Status is what `status -o json` prints.
type Status struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Ready     bool   `json:"ready"`
	URL       string `json:"url,omitempty"`
	// AdminURL is that of the hub's page for admins, where there can be some.
	AdminURL string `json:"adminURL,omitempty"`
	Revision int    `json:"revision"`
	// TerminalImage that new sessions get, as it was named.
	TerminalImage string `json:"terminalImage"`
	// ImageStreamTag that it is, with its project.
	ImageStreamTag string `json:"imageStreamTag,omitempty"`
	// TerminalImageReference is what their pods pull, and TerminalImageDigest
	// its digest as far as the cluster knows it.
	TerminalImageReference string `json:"terminalImageReference,omitempty"`
	TerminalImageDigest    string `json:"terminalImageDigest,omitempty"`
	// TerminalImageFailure is why new sessions get none.
	TerminalImageFailure *explain.Failure `json:"terminalImageFailure,omitempty"`
	// TerminalImageDeployed is the one of the last deploy, where somebody has
	// set another one since.
	TerminalImageDeployed string         `json:"terminalImageDeployed,omitempty"`
	Spec                  workshop.Spec  `json:"spec"`
	Parts                 []rollout.Part `json:"parts"`
	Sessions              Sessions       `json:"sessions"`
	Storage               Storage        `json:"storage"`
	Login                 *Login         `json:"login,omitempty"`
	// LoginFailure is why attendees can't log in with their accounts of the
	// cluster, where they should.
	LoginFailure *explain.Failure `json:"loginFailure,omitempty"`
}

// Sessions by state.
type Sessions struct {
	Total int `json:"total"`
	// Limit of sessions at once; 0 means any number.
	Limit   int                   `json:"limit,omitempty"`
	ByState map[session.State]int `json:"byState"`
	// OtherImage counts those that run another image than new ones get.
	OtherImage int `json:"otherImage"`
	// Digests of the images that sessions run, with their number.
	Digests map[string]int `json:"digests,omitempty"`
	// HubError is why the hub's part is missing.
	HubError string `json:"hubError,omitempty"`
}

// Storage of the attendees.
type Storage struct {
	Volumes int `json:"volumes"`
	// Size of them together.
	Size string `json:"size"`
	// NotBound counts volumes that are not there (yet).
	NotBound int `json:"notBound,omitempty"`
}

// Login is how to get in.
type Login struct {
	Auth          workshop.Auth `json:"auth"`
	UserPassword  string        `json:"userPassword,omitempty"`
	AdminPassword string        `json:"adminPassword,omitempty"`
}

// Run shows the status.
func Run(ctx context.Context, f *factory.Factory, o *Options) error {
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	s, err := read(ctx, c, r, o.ShowPasswords)
	if err != nil {
		return fmt.Errorf("status of %s: %w", r.Spec.Name, err)
	}
	if err := o.Format.Print(f.Out, s, nil, func(bool) error { return write(f.Out, f.Reword, s) }); err != nil {
		return err
	}
	if !o.Watch {
		return nil
	}
	return watch(ctx, f, c, r.Spec, s.Parts)
}

// read asks for everything at once.
func read(ctx context.Context, c *factory.Cluster, r *record.Record, passwords bool) (Status, error) {
	n := workshop.Names(r.Spec.Name)
	s := Status{Name: r.Spec.Name, Namespace: c.Namespace, URL: r.Spec.URL(), Revision: r.Revision(), Spec: r.Spec, TerminalImage: r.Spec.Image().String()}
	var (
		snapshot rollout.Snapshot
		overview session.Overview
		deployed workshop.Image
		secret   *corev1.Secret
	)
	outer := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		snapshot, err = rollout.Status(ctx, c.Rollout(), rollout.Target{Namespace: c.Namespace, Spec: r.Spec})
		return err
	})
	group.Go(func() (err error) {
		overview, err = c.Sessions(ctx, r.Spec)
		return err
	})
	group.Go(func() (err error) {
		live, err := c.Apply().Read(ctx, []record.Ref{apply.HubRef(n, r.Spec.Workload)})
		deployed, _ = live.Image(n)
		return err
	})
	group.Go(func() error {
		s.LoginFailure, _ = c.Login(ctx, r.Spec, false) // what can't be reached from here may be in order
		return nil
	})
	if passwords {
		group.Go(func() (err error) {
			secret, err = c.Kubernetes.CoreV1().Secrets(c.Namespace).Get(ctx, n.HubPart(), metav1.GetOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return s, err
	}
	s.Ready, s.Parts = snapshot.Ready && s.LoginFailure == nil, snapshot.Parts
	if err := s.setImage(outer, c, deployed); err != nil {
		return s, err
	}
	if s.URL != "" && r.Spec.Auth != workshop.AuthAnonymous {
		s.AdminURL = s.URL + "hub/admin"
	}
	s.Sessions = Sessions{Total: len(overview.Sessions), Limit: r.Spec.Limit, ByState: map[session.State]int{}, Digests: map[string]int{}}
	for _, one := range overview.Sessions {
		s.Sessions.ByState[one.State]++
		if one.Image != "" && s.TerminalImageReference != "" && one.Image != s.TerminalImageReference {
			s.Sessions.OtherImage++
		}
		if one.Digest != "" {
			s.Sessions.Digests[one.Digest]++
		}
	}
	if overview.HubError != nil {
		s.Sessions.HubError = overview.HubError.Error()
	}
	s.Storage = storage(overview.Volumes)
	if secret != nil {
		s.Login = &Login{Auth: r.Spec.Auth}
		if r.Spec.Auth == workshop.AuthPassword {
			s.Login.UserPassword = string(secret.Data[workshop.SecretUserPassword])
			s.Login.AdminPassword = string(secret.Data[workshop.SecretAdminPassword])
		}
	}
	return s, nil
}

// setImage finds out what new sessions get.
func (s *Status) setImage(ctx context.Context, c *factory.Cluster, live workshop.Image) error {
	now := s.Spec.Image()
	if live != (workshop.Image{}) && live != now {
		now = live
		s.TerminalImage, s.TerminalImageDeployed = live.String(), s.TerminalImage
	}
	found, err := c.SessionImage(ctx, now)
	if errors.As(err, &s.TerminalImageFailure) {
		return nil
	}
	if err != nil {
		return err
	}
	s.TerminalImageReference, s.TerminalImageDigest = found.Reference, found.Digest
	if found.Tag != nil {
		s.ImageStreamTag = found.Tag.String()
	}
	return nil
}

// image is what new sessions get, in a line.
func (s Status) image() string {
	line := s.TerminalImage
	switch {
	case s.TerminalImageFailure != nil:
		line += " -> nothing: new sessions don't start"
	case s.ImageStreamTag != "" && s.TerminalImageDigest != "":
		line += " -> " + image.ShortDigest(s.TerminalImageDigest) + " (image stream tag)"
	case s.ImageStreamTag != "":
		line += " -> " + s.TerminalImageReference + " (image stream tag)"
	}
	if s.TerminalImageDeployed != "" {
		line += " (deployed: " + s.TerminalImageDeployed + ")"
	}
	return line
}

func storage(volumes []session.Volume) Storage {
	var sum resource.Quantity
	out := Storage{Volumes: len(volumes)}
	for _, v := range volumes {
		if q, err := resource.ParseQuantity(v.Size); err == nil {
			sum.Add(q)
		}
		if v.Phase != string(corev1.ClaimBound) {
			out.NotBound++
		}
	}
	out.Size = sum.String()
	return out
}

// write shows the status to a person.
func write(w io.Writer, reword func(string) string, s Status) error {
	ready := "ready"
	if !s.Ready {
		ready = "not ready"
	}
	facts := output.Table{}
	facts.Add("Workshop:", fmt.Sprintf("%s in namespace %s, revision %d, %s", s.Name, s.Namespace, s.Revision, ready))
	if s.URL != "" {
		facts.Add("URL:", s.URL)
	} else {
		facts.Add("URL:", "none of its own; "+reword("workshopctl url --forward")+" opens a way in")
	}
	if page := adminPage(s); page != "" {
		facts.Add("Admin page:", reword(page))
	}
	facts.Add("Terminal image:", s.image())
	if s.Spec.Registry != "" {
		facts.Add("Registry:", s.Spec.Registry+elsewhere(s.Spec))
	}
	facts.Add("Sessions:", s.Sessions.line())
	facts.Add("Stopped:", stopped(s.Spec))
	facts.Add("Storage:", s.Storage.line(s.Spec))
	if apps := s.Spec.PortList(); apps != "" {
		facts.Add("Web apps:", strings.ReplaceAll(apps, ",", ", "))
	}
	if notes := s.Spec.NotesPath + s.Spec.NotesURL; notes != "" {
		facts.Add("Notes:", notes)
	}
	facts.Add("Login:", login(s.Spec))
	if s.Login != nil && s.Login.UserPassword != "" {
		facts.Add("Password:", s.Login.UserPassword)
		facts.Add("Admin password:", s.Login.AdminPassword)
	}
	if err := facts.Write(w); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := partsTable(s.Parts).Write(w); err != nil {
		return err
	}
	said := map[string]bool{} // one cause may keep several parts from getting ready
	for _, p := range slices.Concat(s.Parts, []rollout.Part{{Failure: s.TerminalImageFailure}}) {
		if p.Failure == nil || said[p.Failure.Error()] {
			continue
		}
		said[p.Failure.Error()] = true
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		fault.Write(w, p.Failure, reword)
	}
	if s.LoginFailure == nil {
		return nil
	}
	_, err := fmt.Fprintln(w)
	fault.Write(w, s.LoginFailure, reword)
	return err
}

func partsTable(parts []rollout.Part) *output.Table {
	t := &output.Table{Header: []string{"PART", "STATE", "READY", "AGE", "IMAGE OR SIZE", "MESSAGE"}}
	for _, p := range parts {
		t.Add(row(p)...)
	}
	return t
}

func row(p rollout.Part) []string {
	ready := ""
	if p.Replicas > 0 {
		ready = fmt.Sprintf("%d/%d", p.ReadyReplicas, p.Replicas)
	}
	what := p.Image
	if what == "" {
		what = p.Capacity
	}
	message := p.Message
	if p.Failure != nil {
		message = p.Failure.Cause
	}
	return []string{p.Name, p.State, ready, output.Age(p.Created), what, message}
}

// adminPage is where the hub's page for admins is, and who may use it.
func adminPage(s Status) string {
	switch {
	case s.Spec.Auth == workshop.AuthAnonymous:
		return "" // there are no admins
	case len(s.Spec.AdminUsers)+len(s.Spec.AdminGroups) == 0:
		return "for nobody; workshopctl deploy --admin-users NAME makes an admin"
	case s.AdminURL == "":
		return "hub/admin below the address of workshopctl url --forward"
	}
	return s.AdminURL
}

// stopped says when sessions are.
func stopped(spec workshop.Spec) string {
	var when []string
	if spec.IdleTimeout.Seconds() > 0 {
		when = append(when, "when nobody has used them for "+string(spec.IdleTimeout))
	}
	if spec.MaxAge.Seconds() > 0 {
		when = append(when, string(spec.MaxAge)+" after they started")
	}
	if len(when) == 0 {
		return "sessions run until somebody stops them"
	}
	return "sessions are stopped " + strings.Join(when, ", or ")
}

func (s Sessions) line() string {
	of := ""
	if s.Limit > 0 {
		// The hub counts what it knows.
		n := s.Total - s.ByState[session.Orphaned]
		of = fmt.Sprintf("%d of %d", n, s.Limit)
		if n >= s.Limit {
			of += ", which is full"
		}
	}
	if s.Total == 0 {
		return cmp.Or(of, "none")
	}
	var parts []string
	for _, state := range []session.State{session.Running, session.Idle, session.Starting, session.Stopping, session.Failed, session.Orphaned} {
		if n := s.ByState[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	line := strings.Join(parts, ", ")
	if of != "" {
		line = of + ": " + line
	}
	if s.OtherImage > 0 {
		line += fmt.Sprintf("; %d with another image than new ones get", s.OtherImage)
	}
	if s.HubError != "" {
		line += "; who is idle is not known: " + s.HubError
	}
	return line
}

func (s Storage) line(spec workshop.Spec) string {
	each := "each session gets " + spec.Storage.Size
	if spec.Storage.Size == "0" {
		each = "sessions get no volume"
	}
	if s.Volumes == 0 {
		return "no volumes of attendees; " + each
	}
	line := fmt.Sprintf("volumes of attendees: %d, %s together; %s", s.Volumes, s.Size, each)
	if s.NotBound > 0 {
		line += fmt.Sprintf("; %d not bound", s.NotBound)
	}
	return line
}

// elsewhere names the images that don't come from the workshop's registry.
func elsewhere(spec workshop.Spec) string {
	var parts []string
	for _, i := range []struct{ part, image string }{{"gateway", spec.GatewayImage}, {"hub", spec.HubImage}, {"proxy", spec.ProxyImage}} {
		if !strings.HasPrefix(i.image, spec.Registry+"/") {
			parts = append(parts, i.part)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; from elsewhere: " + strings.Join(parts, ", ")
}

func login(spec workshop.Spec) string {
	var who []string
	if n := len(spec.AllowedUsers); n > 0 {
		who = append(who, fmt.Sprintf("%d allowed users", n))
	}
	if len(spec.AllowedGroups) > 0 {
		who = append(who, "groups "+strings.Join(spec.AllowedGroups, " "))
	}
	if who == nil {
		who = []string{"everybody"}
	}
	if len(spec.AdminUsers) > 0 {
		who = append(who, "admins "+strings.Join(spec.AdminUsers, " "))
	}
	if len(spec.AdminGroups) > 0 {
		who = append(who, "groups of admins "+strings.Join(spec.AdminGroups, " "))
	}
	return string(spec.Auth) + ", " + strings.Join(who, ", ")
}

// watch goes on with a line for each change of a part.
func watch(ctx context.Context, f *factory.Factory, c *factory.Cluster, spec workshop.Spec, shown []rollout.Part) error {
	last := map[string]string{}
	key := func(p rollout.Part) string {
		return p.State + "|" + fmt.Sprint(p.ReadyReplicas) + "|" + p.Image + "|" + p.Message
	}
	for _, p := range shown {
		last[p.Name] = key(p)
	}
	var writeErr error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := rollout.WatchStatus(ctx, c.Rollout(), rollout.Target{Namespace: c.Namespace, Spec: spec}, func(s rollout.Snapshot) {
		t := &output.Table{}
		for _, p := range s.Parts {
			if last[p.Name] != key(p) {
				last[p.Name] = key(p)
				t.Add(row(p)...)
			}
		}
		if writeErr = t.Write(f.Out); writeErr != nil {
			cancel()
		}
	})
	switch {
	case writeErr != nil:
		return writeErr
	case errors.Is(err, context.Canceled):
		return nil // Ctrl-C is the way to end it
	}
	return err
}
