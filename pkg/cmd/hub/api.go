// SPDX-License-Identifier: Apache-2.0

package hubcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/jsonpath"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/cmd/progress"
	"github.com/workshopctl/workshopctl/pkg/explain"
	"github.com/workshopctl/workshopctl/pkg/hub"
)

// APIOptions of `hub api`.
type APIOptions struct {
	factory.WorkshopOptions
	// Method is empty where none was given.
	Method   string
	Path     string
	Headers  []string
	Input    string
	Paginate bool
	Query    string

	fields []field
}

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

func newAPI(f *factory.Factory, run factory.Run[*APIOptions]) *cobra.Command {
	o := &APIOptions{}
	do := factory.RunE(f, o, run, API)
	cmd := &cobra.Command{
		Use:   "api [METHOD] PATH",
		Short: "Send a request to the hub's REST API",
		Long: `Sends a request to JupyterHub's REST API and prints what it answers. PATH is what
follows /hub/api: users, /users/jane, or "users?state=active". The method is GET, or
POST where there are fields or input.

The request goes through the API server of the cluster, as kubectl port-forward
does, or to the workshop's URL where you may not do that. It has the workshop's own
token, from its Secret, or the one in the variable WORKSHOPCTL_HUB_TOKEN. The
workshop's own may list, make and delete users, start and stop sessions, make and
revoke tokens, read about the hub and set the proxy's routes; what is refused names
the scopes that it takes.

Fields make a JSON object, or the query of a GET: -f takes values as text, -F takes
true, false, null and numbers for what they are, and @FILE for its content. A key
NAME[] makes a list, NAME[PART] an object.

The API: https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html`,
		Example: `  workshopctl hub api users/jane

  # Everybody who has a session, whatever their number
  workshopctl hub api "users?state=active" --paginate -q '{.items[*].name}'

  # Have the proxy's routes set again
  workshopctl hub api POST proxy

  # Start a session
  workshopctl hub api POST users/jane/server`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return factory.Args("PATH")(cmd, args)
			}
			return factory.Args("METHOD", "PATH")(cmd, args)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return append(slices.Clone(methods), "users", "proxy", "info", "services", "groups"), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Path = args[len(args)-1]
			if len(args) == 2 {
				o.Method = strings.ToUpper(args[0])
			}
			return do(cmd, args)
		},
	}
	o.AddFlags(f, cmd)
	flags := cmd.Flags()
	flags.VarP(fieldFlag{&o.fields, false}, "raw-field", "f", "Field `KEY=VALUE` with a text; may be repeated")
	flags.VarP(fieldFlag{&o.fields, true}, "field", "F", "Field `KEY=VALUE` with true, false, null, a number, @FILE or a text; may be repeated")
	flags.StringArrayVarP(&o.Headers, "header", "H", nil, "Header of the request, `NAME:VALUE`; may be repeated")
	flags.StringVar(&o.Input, "input", "", "`FILE` with the body of the request; \"-\" reads stdin")
	flags.BoolVar(&o.Paginate, "paginate", false, "Ask for all pages of a list, and print it as one")
	flags.StringVarP(&o.Query, "query", "q", "", "Print what a `JSONPATH` finds in the answer; a list is in .items")
	for _, name := range []string{"raw-field", "field", "header", "query"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

// Validate checks what can be checked without the cluster.
func (o *APIOptions) Validate() error {
	if o.Method == "" {
		o.Method = http.MethodGet
		if len(o.fields) > 0 || o.Input != "" {
			o.Method = http.MethodPost
		}
	}
	if !slices.Contains(methods, o.Method) {
		return fault.Usage("there is no method %s; choose one of %s", o.Method, strings.Join(methods, ", "))
	}
	if err := hub.CheckPath(o.Path); err != nil {
		return fault.Usage("%w", err)
	}
	if o.Paginate && o.Method != http.MethodGet {
		return fault.Usage("--paginate is for lists, which GET asks for")
	}
	if o.Input != "" && len(o.fields) > 0 {
		return fault.Usage("--input and fields both say what the body is; leave one of them out")
	}
	if o.Input != "" && o.Method == http.MethodGet {
		return fault.Usage("--input: a GET has no body")
	}
	for _, h := range o.Headers {
		name, _, ok := strings.Cut(h, ":")
		switch {
		case !ok || strings.TrimSpace(name) == "":
			return fault.Usage("--header %s: write NAME:VALUE", h)
		case strings.EqualFold(strings.TrimSpace(name), "Authorization"):
			return fault.Usage("--header: a token in the command line can be read by others on this machine; put it into the variable %s", tokenVariable)
		}
	}
	for _, f := range o.fields {
		if _, err := f.path(); err != nil {
			return fault.Usage("%w", err)
		}
	}
	if o.Query != "" {
		if _, err := query(o.Query); err != nil {
			return err
		}
	}
	return o.WorkshopOptions.Validate()
}

// query reads a JSONPath, in braces or without.
func query(text string) (*jsonpath.JSONPath, error) {
	if !strings.Contains(text, "{") {
		text = "{" + text + "}"
	}
	path := jsonpath.New("query").AllowMissingKeys(true)
	if err := path.Parse(text); err != nil {
		return nil, fault.Usage("--query: not a JSONPath template: %w", err)
	}
	return path, nil
}

// request is what the options ask for.
func (o *APIOptions) request(stdin io.Reader) (r hub.Request, err error) {
	r = hub.Request{Method: o.Method, Path: o.Path, Header: http.Header{}}
	for _, h := range o.Headers {
		name, value, _ := strings.Cut(h, ":")
		r.Header.Add(textproto.TrimString(name), textproto.TrimString(value))
	}
	switch {
	case o.Input == "-":
		r.Body, err = io.ReadAll(stdin)
	case o.Input != "":
		r.Body, err = os.ReadFile(o.Input)
	case len(o.fields) > 0 && o.Method == http.MethodGet:
		r.Path, err = withQuery(o.Path, o.fields, stdin)
	case len(o.fields) > 0:
		r.Body, err = body(o.fields, stdin)
	}
	if err != nil {
		return r, fault.Usage("%w", err)
	}
	return r, nil
}

// withQuery adds fields to a path.
func withQuery(path string, fields []field, stdin io.Reader) (string, error) {
	values := url.Values{}
	for _, f := range fields {
		key, _, _ := strings.Cut(f.text, "=")
		value, err := f.value(stdin)
		if err != nil {
			return "", err
		}
		if raw, ok := value.(json.RawMessage); ok {
			value = string(raw)
		}
		values.Add(key, fmt.Sprint(value))
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + values.Encode(), nil
}

// most is how many entries of a list the hub gives at once to those who don't ask
// for pages.
const most = 200

// API sends the request and prints the answer.
func API(ctx context.Context, f *factory.Factory, o *APIOptions) error {
	request, err := o.request(f.In)
	if err != nil {
		return err
	}
	_, client, end, err := connect(ctx, f, &o.WorkshopOptions)
	if err != nil {
		return err
	}
	defer end()
	send := client.Do
	if o.Paginate {
		send = client.All
	}
	answer, err := send(ctx, request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", o.Method, o.Path, explained(ctx, client, err))
	}
	var list []json.RawMessage
	isList := json.Unmarshal(answer, &list) == nil
	if isList && !o.Paginate && len(list) == most {
		f.Say("The hub gives %d entries at once, and there may be more: --paginate asks for all.", most)
	}
	if o.Query != "" {
		return find(f.Out, o.Query, answer, isList)
	}
	if len(bytes.TrimSpace(answer)) == 0 {
		return nil
	}
	if progress.IsTerminal(f.Out) {
		var pretty bytes.Buffer
		if json.Indent(&pretty, answer, "", "  ") == nil {
			answer = pretty.Bytes()
		}
		answer = []byte(explain.Clean(string(answer)))
	}
	_, err = f.Out.Write(append(bytes.TrimRight(answer, "\n"), '\n'))
	return err
}

// find prints what a JSONPath finds. Its templates begin with a field, and so a
// list is in one.
func find(w io.Writer, text string, answer []byte, isList bool) error {
	path, err := query(text)
	if err != nil {
		return err
	}
	var tree any
	if err := json.Unmarshal(answer, &tree); err != nil {
		return fault.Hint(errors.New("the answer is no JSON"), "Leave --query out to see it.")
	}
	if isList {
		tree = map[string]any{"items": tree}
	}
	var found bytes.Buffer
	if err := path.Execute(&found, tree); err != nil {
		return fault.Usage("--query: %w", err)
	}
	if text := found.Bytes(); len(text) > 0 && text[len(text)-1] != '\n' {
		found.WriteByte('\n')
	}
	if progress.IsTerminal(w) {
		_, err = io.WriteString(w, explain.Clean(found.String()))
		return err
	}
	_, err = found.WriteTo(w)
	return err
}
