// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/workshopctl/workshopctl/pkg/cmd/ask"
	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/password"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/users"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// EnrolOptions are what add and import have in common.
type EnrolOptions struct {
	factory.WorkshopOptions
	factory.TimeoutOptions
	// NewPasswords replaces those that people have already.
	NewPasswords bool
	// Handout is the file for the cards, "" for none, and Force replaces one
	// that is there.
	Handout string
	Force   bool
	// URL on the cards in place of the workshop's.
	URL    string
	DryRun bool
	Yes    bool
	Format output.Format
}

func (o *EnrolOptions) addFlags(f *factory.Factory, cmd *cobra.Command) {
	o.WorkshopOptions.AddFlags(f, cmd)
	fs := cmd.Flags()
	fs.BoolVar(&o.NewPasswords, "new-passwords", false, "Make new passwords for those, too, who have one of their own already")
	fs.StringVar(&o.Handout, "handout", "", "Write a page to print with a card for each, with address, QR code, name and password, into `FILE` instead of printing the passwords here")
	fs.BoolVar(&o.Force, "force", false, "Replace FILE of --handout if it is there")
	fs.StringVar(&o.URL, "url", "", "`URL` on the cards (default the workshop's)")
	_ = cmd.RegisterFlagCompletionFunc("url", cobra.NoFileCompletions)
	fs.BoolVar(&o.DryRun, "dry-run", false, "Say what would be done, and do nothing")
	fs.BoolVarP(&o.Yes, "yes", "y", false, "Don't ask before others are kept out")
	o.TimeoutOptions.AddFlags(cmd, " until the hub has it")
	o.Format.AddFlag(cmd, output.JSON, output.YAML, output.Name)
}

// Validate checks what can be checked without the cluster.
func (o *EnrolOptions) Validate() error {
	switch {
	case o.Handout == "" && o.Force:
		return fault.Usage("--force is of use with --handout only")
	case o.Handout == "" && o.URL != "":
		return fault.Usage("--url is of use with --handout only")
	case o.URL != "" && !strings.HasPrefix(o.URL, "https://") && !strings.HasPrefix(o.URL, "http://"):
		return fault.Usage("--url %q: write it like https://workshop.example.com/", o.URL)
	}
	return errors.Join(o.WorkshopOptions.Validate(), o.TimeoutOptions.Validate(), o.Format.Validate())
}

// What becomes of somebody's password.
const (
	passwordNew  = "new"
	passwordKept = "kept"
)

// Credential is how somebody logs in, an item of what `users import -o json`
// prints.
type Credential struct {
	Name  string `json:"name,omitempty"`
	Admin bool   `json:"admin"`
	// Password is there only where it is new and no handout has it.
	Password string `json:"password,omitempty"`
	// PasswordState is new, or kept for who had one already; "" where people
	// log in elsewhere.
	PasswordState string `json:"passwordState,omitempty"`
}

// Enrolled is what `users import -o json` prints.
type Enrolled struct {
	// URL that attendees open.
	URL string `json:"url,omitempty"`
	// Handout is the file with the passwords, where there is one.
	Handout string `json:"handout,omitempty"`
	// DryRun is true if nothing was written.
	DryRun bool         `json:"dryRun,omitempty"`
	Items  []Credential `json:"items"`
}

// enrol puts people on a workshop's lists, and gives them passwords where the
// workshop asks for some. What could be lost comes first: the handout, then
// the passwords, then the lists.
func enrol(ctx context.Context, f *factory.Factory, c *factory.Cluster, r *record.Record, verb string, people []users.Person, o *EnrolOptions) error {
	own := passwordsOf(c, r.Spec)
	credentials, err := credentialsOf(ctx, r.Spec, own, people, o)
	if err != nil {
		return err
	}
	url := r.Spec.URL()
	if o.URL != "" {
		url = o.URL
	}
	wanted := listsOf(r.Spec)
	for _, p := range credentials {
		switch {
		case p.Admin && !has(r.Spec, wanted.admins, p.Name):
			wanted.admins = append(wanted.admins, p.Name)
		case !p.Admin && !has(r.Spec, wanted.allowed, p.Name):
			wanted.allowed = append(wanted.allowed, p.Name)
		}
	}
	result := Enrolled{URL: url, Handout: o.Handout, DryRun: o.DryRun, Items: credentials}
	if o.DryRun {
		for i := range result.Items {
			result.Items[i].Password = ""
		}
		f.Say("Dry run: nothing was written.")
		return printEnrolled(f, o, result)
	}
	if o.Handout != "" && url == "" {
		return fault.Usage("workshop %s has no URL for the handout; name one with --url", r.Spec.Name)
	}
	if err := confirmClosing(ctx, f, c, r.Spec, wanted, o.Yes); err != nil {
		return err
	}
	if o.Handout != "" {
		if err := writeHandout(o.Handout, o.Force, handout{Workshop: r.Spec.Name, URL: url, Cards: credentials, Passwords: r.Spec.Auth == workshop.AuthPassword}); err != nil {
			return err
		}
	}
	if err := setPasswords(ctx, f, own, credentials); err != nil {
		return err
	}
	if o.Handout != "" {
		for i := range result.Items {
			result.Items[i].Password = ""
		}
		f.Say("Handout:   %s. It has the passwords in it: delete it when it is printed.", o.Handout)
	}
	if err := printEnrolled(f, o, result); err != nil {
		return err
	}
	return wanted.carry(ctx, f, c, r, verb, o.TimeoutOptions)
}

// credentialsOf finds out which passwords people are to have.
func credentialsOf(ctx context.Context, spec workshop.Spec, own *users.Passwords, people []users.Person, o *EnrolOptions) ([]Credential, error) {
	hashes := map[string]string{}
	if spec.Auth == workshop.AuthPassword {
		var err error
		if hashes, err = own.Read(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]Credential, 0, len(people))
	var errs []error
	for _, p := range people {
		before := has(spec, spec.AdminUsers, p.Name)
		made := Credential{Name: p.Name, Admin: p.Admin || before, Password: p.Password}
		_, owns := hashes[p.Name]
		switch {
		case spec.Auth != workshop.AuthPassword:
		case p.Password != "":
			made.PasswordState = passwordNew
			if problem := password.Problem(p.Password, made.Admin); problem != "" {
				errs = append(errs, fmt.Errorf("%s, who is an admin already: %s", p.Name, problem))
			}
		case owns && !o.NewPasswords && before == made.Admin: // who becomes an admin needs a longer one
			made.PasswordState = passwordKept
		default:
			made.PasswordState = passwordNew
			var err error
			if made.Password, err = password.Generate(rand.Reader, made.Admin); err != nil {
				return nil, err
			}
		}
		out = append(out, made)
	}
	if len(errs) > 0 {
		return nil, &fault.Error{Code: fault.BadUsage, Err: errors.Join(errs...), Hint: "Nothing was written."}
	}
	return out, nil
}

// setPasswords keeps the new ones, as hashes.
func setPasswords(ctx context.Context, f *factory.Factory, own *users.Passwords, credentials []Credential) error {
	hashes := make([]string, len(credentials))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0)) // it is work, by design
	made := 0
	for i, p := range credentials {
		if p.PasswordState != passwordNew {
			continue
		}
		made++
		group.Go(func() (err error) {
			hashes[i], err = password.Hash(p.Password)
			return err
		})
	}
	if made == 0 {
		return nil
	}
	if err := group.Wait(); err != nil {
		return err
	}
	err := own.Change(ctx, func(all map[string]string) {
		for i, p := range credentials {
			if hashes[i] != "" {
				all[p.Name] = hashes[i]
			}
		}
	})
	if err != nil {
		return err
	}
	deliver(ctx, f, own)
	return nil
}

// confirmClosing asks before a workshop that was open to everybody isn't any
// more, if there are people whom that would keep out.
func confirmClosing(ctx context.Context, f *factory.Factory, c *factory.Cluster, spec workshop.Spec, wanted lists, yes bool) error {
	if closed(spec) || len(wanted.allowed) == 0 {
		return nil
	}
	overview, err := session.List(ctx, c.Kubernetes, c.Namespace, workshop.Names(spec.Name), nil)
	if err != nil {
		return err
	}
	var out []string
	for _, s := range overview.Sessions {
		if s.User != "" && !has(spec, wanted.allowed, s.User) && !has(spec, wanted.admins, s.User) {
			out = append(out, s.User)
		}
	}
	if len(out) > 0 {
		q := fmt.Sprintf("Until now everybody may log in to %s; from now on only those on the list. %s of %s would be kept out at their next login. Go on?",
			spec.Name, output.Count(len(out), "running session"), output.Some(out))
		return ask.Confirm(ctx, f, yes, q)
	}
	f.Say("From now on only those on the list may log in to %s; until now everybody could.", spec.Name)
	return nil
}

func printEnrolled(f *factory.Factory, o *EnrolOptions, e Enrolled) error {
	var names []string
	for _, p := range e.Items {
		names = append(names, "user/"+p.Name)
	}
	return o.Format.Print(f.Out, e, names, func(bool) error {
		if e.Handout != "" && !e.DryRun {
			return nil
		}
		t := &output.Table{Header: []string{"NAME", "ROLE"}}
		passwords := slices.ContainsFunc(e.Items, func(c Credential) bool { return c.PasswordState != "" })
		if passwords {
			t.Header = append(t.Header, "PASSWORD")
		}
		for _, p := range e.Items {
			row := []string{p.Name, map[bool]string{true: "admin", false: "attendee"}[p.Admin]}
			if passwords {
				shown := p.Password
				if shown == "" {
					shown = "(" + p.PasswordState + ")"
				}
				row = append(row, shown)
			}
			t.Add(row...)
		}
		if err := t.Write(f.Out); err != nil {
			return err
		}
		if passwords && !e.DryRun {
			f.Say("The passwords are not shown again: the cluster keeps hashes of them.")
		}
		return nil
	})
}

// writeHandout writes the page, for nobody else to read.
func writeHandout(name string, force bool, h handout) (err error) {
	page, err := h.page()
	if err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		// Anew, so that it has the mode that it should, whatever the old one had.
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("replace the handout: %w", err)
		}
	}
	file, err := os.OpenFile(name, flags, 0o600) // #nosec G304 -- the person's own file
	if errors.Is(err, fs.ErrExist) {
		return fault.Refuse("--force replaces it; what it has of passwords may be all there is of them.", "%s exists; nothing was written", name)
	}
	if err != nil {
		return fmt.Errorf("write the handout: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.Write(page); err != nil {
		return fmt.Errorf("write the handout: %w", err)
	}
	return nil
}
