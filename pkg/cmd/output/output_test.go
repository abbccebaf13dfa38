// SPDX-License-Identifier: Apache-2.0

package output_test

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/workshopctl/workshopctl/pkg/cmd/output"
)

func TestFormat(t *testing.T) {
	type item struct {
		UserName string `json:"userName"`
		State    string `json:"state,omitempty"`
	}
	value := map[string]any{"items": []item{{"<ann>", "failed"}, {"bob", ""}}}
	for format, want := range map[string]string{
		"":                              "table false\n",
		"wide":                          "table true\n",
		"json":                          "{\n  \"items\": [\n    {\n      \"userName\": \"<ann>\",\n      \"state\": \"failed\"\n    },\n    {\n      \"userName\": \"bob\"\n    }\n  ]\n}\n",
		"yaml":                          "items:\n- state: failed\n  userName: <ann>\n- userName: bob\n",
		"name":                          "user/ann\nuser/bob\n",
		"table":                         "error",
		"jsonpath={.items[*].userName}": "<ann> bob",
		"jsonpath=.items[0].state":      "failed",
		`jsonpath={range .items[?(@.state=="failed")]}{.userName}{"\n"}{end}`: "<ann>\n",
		"jsonpath={.items[1].state}":                                          "",
		"jsonpath={.items":                                                    "error",
	} {
		var f output.Format
		cmd := &cobra.Command{}
		f.AddFlag(cmd, output.JSON, output.YAML, output.Name, output.Wide, output.JSONPath)
		if err := cmd.ParseFlags([]string{"-o", format}); err != nil {
			t.Fatal(err)
		}
		if err := f.Validate(); err != nil {
			if want != "error" {
				t.Errorf("%s: %v", format, err)
			}
			continue
		}
		var b strings.Builder
		err := f.Print(&b, value, []string{"user/ann", "user/bob"}, func(wide bool) error {
			if wide {
				b.WriteString("table true\n")
			} else {
				b.WriteString("table false\n")
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if b.String() != want {
			t.Errorf("%s: %q, want %q", format, b.String(), want)
		}
	}
}

func TestTable(t *testing.T) {
	table := output.Table{Header: []string{"USER", "REASON"}}
	table.Add("ann", "two\nlines")
	table.Add("b\x1b[31mob", "")
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "USER   REASON\nann    two lines\nbob    -\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMask(t *testing.T) {
	secret := &unstructured.Unstructured{Object: map[string]any{"kind": "Secret", "data": map[string]any{"a": "x"}, "stringData": map[string]any{"b": "y"}, "type": "Opaque"}}
	masked := output.Mask(secret).Object
	if a, b := masked["data"].(map[string]any)["a"], masked["stringData"].(map[string]any)["b"]; a != output.Masked || b != output.Masked || masked["type"] != "Opaque" {
		t.Errorf("masked: %v", masked)
	}
	if secret.Object["data"].(map[string]any)["a"] != "x" {
		t.Error("the object itself was changed")
	}
	config := &unstructured.Unstructured{Object: map[string]any{"kind": "ConfigMap", "data": map[string]any{"a": "x"}}}
	if output.Mask(config) != config {
		t.Error("a ConfigMap was masked")
	}
}
