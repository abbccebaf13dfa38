// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/output"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/session"
	"github.com/workshopctl/workshopctl/pkg/transfer"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// CpOptions of `sessions cp`.
type CpOptions struct {
	insideOptions
	// From and To are as typed: one of them is in a session, as USER:PATH or, with
	// several of them, as :PATH.
	From, To string
	// MaxSize bounds what a session may send, as a quantity.
	MaxSize string

	most int64
}

func newCp(f *factory.Factory, run factory.Run[*CpOptions]) *cobra.Command {
	o := &CpOptions{}
	do := factory.RunE(f, o, run, Cp)
	cmd := &cobra.Command{
		Use:   "cp SOURCE DESTINATION",
		Short: "Copy files and folders to and from sessions",
		Long: `Copies a file, or a folder with all that is in it:

  FILE USER:PATH    to a session
  USER:PATH FILE    from a session
  FILE :PATH        to several, with --all or --idle
  :PATH DIRECTORY   from several, with --all or --idle, into a folder for each user

A PATH is one as the attendee's shell would have it: below its directory if it
doesn't begin with / or ~/. As with cp, something goes into a PATH that is a folder
or ends with a slash, else it gets that name. Folders on the way are made, files of
that name are replaced, and what else is there stays. FOLDER/. means what is in it.

Nothing is seen of it under its name before it has come whole; its checksum is
compared. Links stay links as long as they lead to something in the folder. The
image needs no tar.

You need the right to exec into the sessions' pods (create and get of pods/exec),
which the roles edit and admin have. Only --idle asks the hub.`,
		Example: `  workshopctl sessions cp notes.md jane:
  workshopctl sessions cp exercises --all :
  workshopctl sessions cp jane:solution.txt .

  # Everybody's solutions: solutions/jane/main.go, solutions/joe/main.go …
  workshopctl sessions cp --all :exercise/main.go solutions`,
		Args: factory.Args("SOURCE", "DESTINATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.read(cmd, nil)
			o.From, o.To = args[0], args[1]
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd, "Copy to or from")
	cmd.Args = factory.Args("SOURCE", "DESTINATION")
	cmd.ValidArgsFunction = completePath(f)
	cmd.Flags().StringVar(&o.MaxSize, "max-size", "1Gi", "How much a session may send at most, as a `QUANTITY`")
	return cmd
}

// completePath completes files of this machine, and users with a colon.
func completePath(f *factory.Factory) factory.Complete {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if strings.ContainsAny(word, "/.") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		users, _ := f.CompleteUsers(cmd, nil, word)
		var found []string
		for _, user := range users {
			if strings.HasPrefix(user, word) {
				found = append(found, user+":")
			}
		}
		if len(found) == 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return found, cobra.ShellCompDirectiveNoSpace
	}
}

// remote says whether a path is one in a session: what has a colon before any
// slash, unless that is a drive of this machine.
func remote(p string) bool {
	i := strings.IndexByte(p, ':')
	slashes := "/"
	if runtime.GOOS == "windows" {
		slashes = `/\`
		if i == 1 {
			return false
		}
	}
	return i >= 0 && !strings.ContainsAny(p[:i], slashes)
}

// several says whether the flags say whose sessions are meant.
func (o *CpOptions) several() bool { return o.All || o.idle || o.Idle != 0 }

// Validate checks what can be checked without the cluster.
func (o *CpOptions) Validate() error {
	var target error
	if o.several() {
		target = o.Target.Validate()
	}
	switch from, to := remote(o.From), remote(o.To); {
	case from && to:
		return fault.Usage("both %s and %s are in sessions; copy to a file here first (one whose name has a colon is written ./%s)", o.From, o.To, o.To)
	case !from && !to && o.several():
		return fault.Usage("with --all or --idle, write the path in the sessions as :PATH")
	case !from && !to:
		return fault.Usage("neither %s nor %s is in a session: write USER:PATH, or :PATH with --all", o.From, o.To)
	}
	there := o.there()
	switch {
	case o.several() && !strings.HasPrefix(there, ":"):
		return fault.Usage("%s names a user, and --all and --idle do so, too; write :PATH with them", there)
	case !o.several() && strings.HasPrefix(there, ":"):
		return fault.Usage("%s says not whose: write USER:PATH, or add --all", there)
	}
	most, err := resource.ParseQuantity(o.MaxSize)
	if err != nil || most.Value() <= 0 {
		return fault.Usage("--max-size: %q is no size; write 1Gi, 500Mi …", o.MaxSize)
	}
	o.most = most.Value()
	return errors.Join(o.WorkshopOptions.Validate(), target, o.atOnce.Validate(), o.Format.Validate())
}

// there is the end that is in sessions.
func (o *CpOptions) there() string {
	if remote(o.From) {
		return o.From
	}
	return o.To
}

// CpResult is how it went with a session.
type CpResult struct {
	User string `json:"user"`
	// Path is where it is now, in the session or on this machine.
	Path  string `json:"path,omitempty"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	// LeftOut is how much couldn't be read, or may not be written.
	LeftOut int    `json:"leftOut,omitempty"`
	Error   string `json:"error,omitempty"`
}

// Cp copies.
func Cp(ctx context.Context, f *factory.Factory, o *CpOptions) error {
	if remote(o.To) {
		if _, err := os.Stat(o.From); err != nil {
			return fault.Usage("%s: no such file or folder here", o.From)
		}
	}
	c, r, err := o.Load(ctx, f)
	if err != nil {
		return err
	}
	_, path, _ := strings.Cut(o.there(), ":")
	list, path, err := o.whose(ctx, c, r.Spec, path)
	if err != nil || o.nobody(f, list) {
		return err
	}
	if remote(o.From) && o.several() {
		if err := distinct(usersOf(list)); err != nil {
			return err
		}
	}
	results := make([]CpResult, len(list))
	tell := newTeller(f, o.what(path), len(list))
	in := within(c)
	errs := o.each(ctx, list, func(ctx context.Context, i int, s session.Session) error {
		var (
			done transfer.Result
			err  error
		)
		leftOut := func(name, why string) { tell.warn("%s: %s was left out: %s", s.User, name, why) }
		if remote(o.To) {
			done, err = in.Upload(ctx, s.Pod, o.From, path, localBase(o.From), transfer.SendOptions{Progress: tell.progress, LeftOut: leftOut})
		} else {
			place := o.To
			if o.several() {
				place = filepath.Join(o.To, folderOf(s.User)) + string(filepath.Separator)
			}
			done, err = in.Download(ctx, s.Pod, path, place, transfer.ReceiveOptions{Name: transfer.Base(path), Limit: o.most, Progress: tell.progress, LeftOut: leftOut})
			if errors.Is(err, transfer.ErrTooLarge) {
				err = fmt.Errorf("it has more than %s, which --max-size allows", o.MaxSize)
			}
		}
		results[i] = CpResult{Path: done.Path, Files: done.Files, Bytes: done.Bytes, LeftOut: done.LeftOut}
		if err == nil && done.LeftOut > 0 {
			err = fmt.Errorf("%d left out, the rest is copied", done.LeftOut)
		}
		tell.done()
		return err
	})
	tell.stop()
	for i, err := range errs {
		results[i].User = list[i].User
		if err != nil {
			results[i].Error = brief(err)
		}
	}
	if o.several() {
		return o.summary(f, c.Namespace, "copied", usersOf(list), errs, results)
	}
	if err := o.print(f, results); err != nil {
		return err
	}
	if err := errs[0]; err != nil {
		return refused(f, c.Namespace, fmt.Errorf("copy %s: %w", o.what(path), err))
	}
	f.Say("%s: %s, %s", o.at(list[0].User, results[0].Path), output.Count(results[0].Files, "file"), size(results[0].Bytes))
	return nil
}

// at is where a copy is now, as the next command would name it.
func (o *CpOptions) at(user, path string) string {
	if remote(o.To) {
		return user + ":" + path
	}
	return path
}

// what is copied, in words.
func (o *CpOptions) what(path string) string {
	if remote(o.To) {
		return o.From
	}
	if o.several() {
		return ":" + path
	}
	return o.From
}

// localBase is the name that a path of this machine has in another folder.
func localBase(p string) string {
	if name := transfer.Base(filepath.ToSlash(p)); name != "" {
		return filepath.Base(filepath.Clean(p))
	}
	return ""
}

// whose are the sessions that are meant, and the path in them. A user's name may
// have a colon, too (kube:admin).
func (o *CpOptions) whose(ctx context.Context, c *factory.Cluster, spec workshop.Spec, path string) ([]session.Session, string, error) {
	if o.several() {
		list, _, err := o.load(ctx, c, spec, false)
		return list, path, err
	}
	overview, err := session.List(ctx, c.Kubernetes, c.Namespace, workshop.Names(spec.Name), nil)
	if err != nil {
		return nil, "", err
	}
	have := usersOf(overview.Sessions)
	there := o.there()
	user, path, _ := strings.Cut(there, ":")
	for i := len(user) + 1; i < len(there); i++ {
		if there[i] == ':' && slices.ContainsFunc(have, func(name string) bool { return factory.SameUser(name, there[:i]) }) {
			user, path = there[:i], there[i+1:]
		}
	}
	target := Target{Users: []string{user}}
	list, err := target.Pick(overview, workshop.Names(spec.Name), time.Now())
	return list, path, err
}

// folderOf is the name of a user's folder: their name, with what no file's name
// should have written as %XX.
func folderOf(user string) string {
	escaped := strings.NewReplacer("+", "%20", "%40", "@").Replace(url.QueryEscape(user))
	if strings.HasPrefix(escaped, ".") {
		escaped = "%2E" + escaped[1:]
	}
	return escaped
}

// distinct refuses users whose folders would be one on systems that don't tell
// upper from lower case.
func distinct(users []string) error {
	seen := map[string]string{}
	for _, user := range users {
		low := strings.ToLower(folderOf(user))
		if other, there := seen[low]; there && (runtime.GOOS == "windows" || runtime.GOOS == "darwin") {
			return fault.Usage("%s and %s would share a folder here; copy one of them by name", other, user)
		}
		seen[low] = user
	}
	return nil
}

// size is a number of bytes as people read it.
func size(bytes int64) string {
	switch {
	case bytes < 10_000:
		return output.Count(int(bytes), "byte")
	case bytes < 10<<20:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// teller says how far a copy is, once it takes a while: the bytes of one, the
// sessions of several.
type teller struct {
	p     *progress.Progress
	what  string
	of    int
	every time.Duration

	mu     sync.Mutex
	next   time.Time
	begun  bool
	ready  int
	warned int
}

// maxWarned is how many warnings one copy is worth.
const maxWarned = 10

func newTeller(f *factory.Factory, what string, of int) *teller {
	t := &teller{p: f.Progress(), what: what, of: of, every: 10 * time.Second}
	if t.p.Draws() {
		t.every = 200 * time.Millisecond
	}
	t.next = time.Now().Add(t.every)
	return t
}

// due says whether it is time to tell; the caller holds the lock.
func (t *teller) due() bool {
	now := time.Now()
	if now.Before(t.next) {
		return false
	}
	t.next = now.Add(t.every)
	if !t.begun {
		t.begun = true
		t.p.Step("Copying %s", t.what)
	}
	return true
}

func (t *teller) progress(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == 1 && t.due() {
		t.p.Detail("%s of %s", size(done), size(total))
	}
}

func (t *teller) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready++; t.of > 1 && t.due() {
		t.p.Detail("%d of %d sessions", t.ready, t.of)
	}
}

func (t *teller) warn(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch t.warned++; {
	case t.warned <= maxWarned:
		t.p.Warn(format, args...)
	case t.warned == maxWarned+1:
		t.p.Warn("more was left out")
	}
}

func (t *teller) stop() { t.p.Stop(nil) }
