// SPDX-License-Identifier: Apache-2.0

// Command bundle makes the files that browsers get (../dist) of the page's
// modules (../page) and of xterm.js (../vendored). `go generate ./pkg/terminal/web`
// runs it; a test here says when that was forgotten. It needs no network and no
// Node.js, and nothing of it becomes part of the gateway.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

// run writes dist anew. web is the directory of package web.
func run(web string) error {
	files, err := bundle(web)
	if err != nil {
		return err
	}
	dist := filepath.Join(web, "dist")
	if err := os.RemoveAll(dist); err != nil {
		return err
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dist, name+".gz"), zip(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle makes the files, by name. Their names stay the same: the gateway serves
// them under a path that has their hash in it.
func bundle(web string) (map[string][]byte, error) {
	dir, err := filepath.Abs(web)
	if err != nil {
		return nil, err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir: dir,
		EntryPoints:   []string{"page/main.js", "page/notes-frame.js", "page/waiting.js"},
		Outdir:        "dist",
		Bundle:        true,
		// What is imported when it is needed is a file of its own.
		Splitting:         true,
		Format:            api.FormatESModule,
		ChunkNames:        "[name]",
		Target:            api.ES2022,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		MinifySyntax:      true,
		Charset:           api.CharsetUTF8,
		LegalComments:     api.LegalCommentsEndOfFile,
		LogLevel:          api.LogLevelSilent,
	})
	var problems []error
	for _, m := range append(result.Errors, result.Warnings...) {
		if m.Location != nil {
			m.Text = fmt.Sprintf("%s:%d: %s", m.Location.File, m.Location.Line, m.Text)
		}
		problems = append(problems, errors.New(m.Text))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	files := map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	files["licences.txt"], err = licences(filepath.Join(dir, "vendored"))
	return files, err
}

// licences are those of the vendored packages, which must go where their code
// goes.
func licences(vendored string) ([]byte, error) {
	var all bytes.Buffer
	names, err := fs.Glob(os.DirFS(vendored), "*.LICENSE")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(vendored, name))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&all, "@xterm/%s\n\n%s\n\n", strings.TrimSuffix(name, path.Ext(name)), bytes.TrimSpace(text))
	}
	return all.Bytes(), nil
}

// zip compresses without name and time, so that the same content makes the same
// file.
func zip(content []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that there is, and into memory: nothing can fail
	_, _ = z.Write(content)
	_ = z.Close()
	return b.Bytes()
}
