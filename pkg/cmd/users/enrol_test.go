// SPDX-License-Identifier: Apache-2.0

package users

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/record"
	"github.com/workshopctl/workshopctl/pkg/users"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// school is a workshop on a cluster that isn't one. What goes through a deploy
// is tested where there is one (cmd/workshopctl).
type school struct {
	t           *testing.T
	cluster     *factory.Cluster
	record      *record.Record
	out, errOut func() string
	factory     *factory.Factory
}

func newSchool(t *testing.T, objects ...*corev1.Pod) *school {
	t.Helper()
	client := fake.NewClientset()
	for _, o := range objects {
		if _, err := client.CoreV1().Pods("ns").Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	streams, _, out, errOut := genericiooptions.NewTestIOStreams()
	r := record.New()
	r.Spec = workshop.Spec{Name: "terminals", Auth: workshop.AuthPassword, AllowedUsers: []string{"Jane", "jim"}, AdminUsers: []string{"trainer"},
		Expose: workshop.ExposeIngress, Host: "workshop.example.com", TLSSecret: "default"}
	take := func(b interface {
		String() string
		Reset()
	}) func() string {
		return func() string { defer b.Reset(); return b.String() }
	}
	return &school{t, &factory.Cluster{Namespace: "ns", Kubernetes: client}, r, take(out), take(errOut), factory.New([]string{"workshopctl"}, streams, factory.Build{})}
}

func (s *school) enrol(o *EnrolOptions, people ...users.Person) error {
	s.t.Helper()
	return enrol(s.t.Context(), s.factory, s.cluster, s.record, "users import", people, o)
}

func (s *school) hashes() map[string]string {
	s.t.Helper()
	hashes, err := passwordsOf(s.cluster, s.record.Spec).Read(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return hashes
}

func is(hash, password string) bool {
	return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
}

func TestEnrol(t *testing.T) {
	s := newSchool(t)
	jane, jim, trainer := users.Person{Name: "jane"}, users.Person{Name: "jim", Password: "his-own-one"}, users.Person{Name: "trainer"}

	if err := s.enrol(&EnrolOptions{DryRun: true}, jane, jim); err != nil {
		t.Fatal(err)
	}
	if out := s.out(); len(s.hashes()) > 0 || strings.Contains(out, "his-own-one") || !strings.Contains(out, "(new)") {
		t.Errorf("a dry run has written, or told:\n%s", out)
	}

	if err := s.enrol(&EnrolOptions{}, jane, jim, trainer); err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(s.out()), "\n")[1:] {
		fields := strings.Fields(line)
		shown[fields[0]] = fields[2]
	}
	for name, hash := range s.hashes() {
		if !is(hash, shown[name]) {
			t.Errorf("%s can't log in with %q", name, shown[name])
		}
	}
	if len(shown) != 3 || shown["jim"] != "his-own-one" || len(shown["trainer"]) < 32 {
		t.Errorf("shown: %v", shown)
	}

	// Who has one keeps it, unless asked.
	before := s.hashes()
	if err := s.enrol(&EnrolOptions{}, jane, users.Person{Name: "trainer", Admin: true}); err != nil {
		t.Fatal(err)
	}
	if out := s.out(); s.hashes()["jane"] != before["jane"] || s.hashes()["trainer"] != before["trainer"] || strings.Count(out, "(kept)") != 2 {
		t.Errorf("they don't keep theirs:\n%s", out)
	}
	if err := s.enrol(&EnrolOptions{NewPasswords: true}, jane); err != nil {
		t.Fatal(err)
	}
	if s.out(); s.hashes()["jane"] == before["jane"] {
		t.Error("there is no new one")
	}

	// An admin's own must be long, whoever the file says they are.
	err := s.enrol(&EnrolOptions{}, users.Person{Name: "trainer", Password: "too short"})
	if fault.Code(err) != fault.BadUsage || strings.Contains(err.Error(), "too short") || s.hashes()["trainer"] != before["trainer"] {
		t.Errorf("a short password for an admin: %v", err)
	}
}

func TestEnrolWithHandout(t *testing.T) {
	s := newSchool(t)
	file := filepath.Join(t.TempDir(), "handout.html")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := &EnrolOptions{Handout: file}
	if err := s.enrol(o, users.Person{Name: "jane"}); fault.Code(err) != fault.Refused || len(s.hashes()) > 0 {
		t.Errorf("%v, and passwords that stand nowhere: %v", err, s.hashes())
	}
	o.Force = true
	if err := s.enrol(o, users.Person{Name: "jane"}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), `class="password">`)
	password, _, _ := strings.Cut(rest, "<")
	if !is(s.hashes()["jane"], password) || !strings.Contains(string(page), "workshop.<wbr>example.<wbr>com<") {
		t.Errorf("the card says %q\n%s", password, page)
	}
	if out, errOut := s.out(), s.errOut(); strings.Contains(out+errOut, password) || !strings.Contains(errOut, "delete it when it is printed") {
		t.Errorf("stdout %q, stderr %q", out, errOut)
	}
	s.record.Spec.Expose = workshop.ExposeNone
	if err := s.enrol(o, users.Person{Name: "jane"}); fault.Code(err) != fault.BadUsage {
		t.Errorf("a handout without an address: %v", err)
	}
}

// Attendees of another login get no password, and a handout says how they log in.
func TestEnrolElsewhere(t *testing.T) {
	s := newSchool(t)
	s.record.Spec.Auth = workshop.AuthOIDC
	file := filepath.Join(t.TempDir(), "handout.html")
	if err := s.enrol(&EnrolOptions{Handout: file}, users.Person{Name: "jane"}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(page), "with your account") || len(s.hashes()) > 0 {
		t.Errorf("%v\n%s", err, page)
	}
	s.out()
	if err := s.enrol(&EnrolOptions{}, users.Person{Name: "jane"}); err != nil {
		t.Fatal(err)
	}
	if out := s.out(); strings.Contains(out, "PASSWORD") {
		t.Errorf("passwords:\n%s", out)
	}
}

// The first name on a list keeps others out: that is asked for if there are some.
func TestConfirmClosing(t *testing.T) {
	n := workshop.Names("terminals")
	guest := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "terminals--guest", Labels: n.Selector(workshop.ComponentSession), Annotations: map[string]string{workshop.UsernameAnnotation: "guest"}}}
	for name, c := range map[string]struct {
		pods    []*corev1.Pod
		allowed []string
		wanted  lists
		yes     bool
		refused bool
		says    string
	}{
		"closed already":  {[]*corev1.Pod{guest}, []string{"jim"}, lists{allowed: []string{"jim", "jane"}}, false, false, ""},
		"an admin":        {[]*corev1.Pod{guest}, nil, lists{admins: []string{"trainer"}}, false, false, ""},
		"nobody there":    {nil, nil, lists{allowed: []string{"jane"}}, false, false, "From now on only those on the list"},
		"who is there":    {[]*corev1.Pod{guest}, nil, lists{allowed: []string{"jane"}}, false, true, ""},
		"a yes":           {[]*corev1.Pod{guest}, nil, lists{allowed: []string{"jane"}}, true, false, ""},
		"is on the list":  {[]*corev1.Pod{guest}, nil, lists{allowed: []string{"Guest"}}, false, false, "From now on"},
		"is on the other": {[]*corev1.Pod{guest}, nil, lists{allowed: []string{"jane"}, admins: []string{"guest"}}, false, false, "From now on"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSchool(t, c.pods...)
			s.record.Spec.AllowedUsers = c.allowed
			err := confirmClosing(t.Context(), s.factory, s.cluster, s.record.Spec, c.wanted, c.yes)
			if (fault.Code(err) == fault.Refused) != c.refused || !c.refused && err != nil {
				t.Errorf("%v", err)
			}
			if said := s.errOut(); c.says == "" && said != "" || !strings.Contains(said, c.says) {
				t.Errorf("says %q", said)
			}
		})
	}
}

// What a program reads.
func TestCredentialJSON(t *testing.T) {
	data, err := json.Marshal(Enrolled{URL: "u", Items: []Credential{{Name: "jane", Password: "p", PasswordState: passwordNew}, {Name: "jim", Admin: true, PasswordState: passwordKept}}})
	if want := `{"url":"u","items":[{"name":"jane","admin":false,"password":"p","passwordState":"new"},{"name":"jim","admin":true,"passwordState":"kept"}]}`; err != nil || string(data) != want {
		t.Errorf("%v\n%s", err, data)
	}
}
