// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []int
		want    string
	}{
		{"at once", []int{200}, ""},
		{"routes follow a moment later", []int{503, 502, 504, 200}, ""},
		{"another page lives there", []int{404, 200}, "answer 404 Not Found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/class/hub/health" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(test.answers[asked])
				asked++
			}))
			defer server.Close()
			err := Answers(t.Context(), server.URL+"/class/", new(net.Dialer).DialContext)
			if got := text(err); got != test.want {
				t.Errorf("error %q, want %q", got, test.want)
			}
			if test.want == "" && asked != len(test.answers) {
				t.Errorf("asked %d times, want %d", asked, len(test.answers))
			}
		})
	}
	t.Run("an authority that this machine doesn't know", func(t *testing.T) {
		t.Parallel()
		asked := 0
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked++; asked < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		defer server.Close()
		err := Answers(t.Context(), server.URL+"/", new(net.Dialer).DialContext)
		if got := text(err); !strings.Contains(got, "unknown authority") || asked != 3 {
			t.Errorf("asked %d times, error %q", asked, got)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		err := Answers(t.Context(), server.URL+"/", new(net.Dialer).DialContext)
		if got := text(err); !strings.Contains(got, "connection refused") || strings.Contains(got, "hub/health") {
			t.Errorf("error %q", got)
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
