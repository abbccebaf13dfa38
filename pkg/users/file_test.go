// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/workshopctl/workshopctl/pkg/users"
)

func TestParse(t *testing.T) {
	people := []users.Person{{Name: "jane"}, {Name: "jim", Password: "a password"}, {Name: "trainer", Admin: true}}
	for name, content := range map[string]string{
		"no header":               "jane\njim,a password\ntrainer,,true\n",
		"header":                  "name,password,admin\njane\njim,a password,no\ntrainer,,yes\n",
		"another order":           "Admin;Name;Password\n;jane;\nfalse;jim;a password\n1;trainer;\n",
		"tabs":                    "user\tpassword\tadmin\njane\njim\ta password\t\ntrainer\t\tX\n",
		"a spreadsheet's":         "\ufeffUsername,Password,Admin\r\njane,,\r\n\"jim\",\"a password\",\r\ntrainer,,TRUE\r\n,,\r\n",
		"empty lines, and a note": "# class of today\n\nJANE\n jim , a password \n\ntrainer,,admin",
	} {
		got, err := users.Parse([]byte(content), true, strings.ToLower)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(people, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
	got, err := users.Parse([]byte("Jane\njane\n"), false, nil)
	if err != nil || len(got) != 2 { // another cluster's login tells them apart
		t.Errorf("%v, %v", got, err)
	}
	got, err = users.Parse([]byte("\"Jane Doe\",\"with \"\"quotes\"\", and a comma\"\n"), true, nil)
	if diff := cmp.Diff([]users.Person{{Name: "Jane Doe", Password: `with "quotes", and a comma`}}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// All wrong lines are named at once, by their numbers, and no password is.
func TestParseErrors(t *testing.T) {
	_, err := users.Parse([]byte(`name,password,admin
jane,s3cret
jim,
JANE,long enough
,long enough
a/b,long enough
joe,long enough,maybe
kim,long enough,true
lou,long enough,false,more
"two
lines",long enough
max,s3cret2
`), true, strings.ToLower)
	want := strings.Join([]string{
		"line 2: a password needs 8 characters or more; leave it out to have one made",
		"line 4: jane is in line 2, too",
		`line 5: "" is no name: names are not empty and hold no slash, comma or line break`,
		`line 6: "a/b" is no name: names are not empty and hold no slash, comma or line break`,
		`line 7: column admin has "maybe"; write true or false`,
		"line 8: an admin's password needs 32 characters or more; leave it out to have one made",
		"line 9: there are 4 columns; a line has a name, and may have a password and whether it is an admin's",
		`line 10: "two\nlines" is no name: names are not empty and hold no slash, comma or line break`,
		"line 12: a password needs 8 characters or more; leave it out to have one made",
	}, "\n")
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	for content, want := range map[string]string{
		"":                     "no line with a name",
		"name,password\n\n":    "no line with a name",
		"name,pasword\njane\n": `line 1: there is no column "pasword"`,
		"jane\n\"jim\n":        "line 2: extraneous or missing \" in quoted-field",
	} {
		if _, err := users.Parse([]byte(content), true, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
	if _, err := users.Parse([]byte("jane,long enough\n"), false, nil); err == nil || !strings.Contains(err.Error(), "log in elsewhere") {
		t.Errorf("a password for the cluster's login: %v", err)
	}
}

func TestNames(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    string
		err     string
	}{
		"lines":              {"ann\n  bob \n\n# the trainers\n  # of today\ncarl\n", "ann bob carl", ""},
		"no end of line":     {"ann\r\nbob", "ann bob", ""},
		"a head alone":       {"name\nann\n", "ann", ""},
		"as for an import":   {"password,admin,name\ns3cret,,ann\n,true,bob\n", "ann bob", ""},
		"a role called user": {"ann,user\nbob,admin\n", "ann bob", ""},
		"tabs":               {"ann\tAnn\nbob\tBob\n", "ann bob", ""},
		"CSV":                {"username,full name\nann,\"Ann, A.\"\nbob,Bob\n", "ann bob", ""},
		"CSV without a head": {"ann,Ann\nbob,Bob\n", "ann bob", ""},
		"head in the middle": {"ann,Ann\nuser,User\n", "ann user", ""},
		"semicolons":         {"E-Mail;Name\nann@example.com;Ann\n", "ann@example.com", ""},
		"quotes":             {"\"ann\",x\n", "ann", ""},
		"byte order mark":    {"\ufeffann\n", "ann", ""},
		"nobody":             {"# nobody\n", "", ""},
		"empty first column": {",Ann\nbob,Bob\n", "bob", ""},
		"broken":             {"ann\n\"bob\n", "", "line 2: it is neither a name nor CSV"},
	} {
		got, err := users.Names([]byte(test.content))
		if strings.Join(got, " ") != test.want || (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v; want %q, %q", name, got, err, test.want, test.err)
		}
	}
}
