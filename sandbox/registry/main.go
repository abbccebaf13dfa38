// SPDX-License-Identifier: Apache-2.0

// Registry is the image registry of a sandbox: the reference implementation
// on a directory, with one optional user. It reaches nothing but that
// directory and reports to nobody.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/sirupsen/logrus"
	"golang.org/x/crypto/bcrypt"

	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// options are the flags.
type options struct {
	addr         string
	root         string
	user         string
	passwordFile string
	debug        bool
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:5000", "HOST:PORT to listen on, plain http")
	flag.StringVar(&o.root, "root", "", "directory that holds the images")
	flag.StringVar(&o.user, "htpasswd-user", "", "ask for a login; this is the one user")
	flag.StringVar(&o.passwordFile, "htpasswd-password-file", "", "file with that user's password")
	flag.BoolVar(&o.debug, "debug", false, "log a line for each request")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, o options) error {
	handler, err := newHandler(ctx, o)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	fmt.Fprintf(os.Stderr, "registry: %s is served at %s\n", o.root, l.Addr())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Uploads under way get a moment; whoever is cut off tries again.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		return server.Close()
	}
	return nil
}

// newHandler sets up the registry on the directory of o.
func newHandler(ctx context.Context, o options) (http.Handler, error) {
	if o.root == "" {
		return nil, errors.New("--root is needed: the directory that holds the images")
	}
	if (o.user == "") != (o.passwordFile == "") {
		return nil, errors.New("--htpasswd-user and --htpasswd-password-file go together")
	}
	root, err := filepath.Abs(o.root)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	// Below debug a request is no news, and an image that isn't there is none either.
	logrus.SetLevel(logrus.FatalLevel)
	if o.debug {
		logrus.SetLevel(logrus.InfoLevel)
	}
	c := &configuration.Configuration{
		Version: configuration.CurrentVersion,
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": root},
			"delete":      {"enabled": true},
			"cache":       {"blobdescriptor": "inmemory"},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
	}
	c.HTTP.Secret = rand.Text()
	if o.user != "" {
		file, err := writeHtpasswd(root, o.user, o.passwordFile)
		if err != nil {
			return nil, err
		}
		c.Auth = configuration.Auth{"htpasswd": {"realm": "workshop-sandbox", "path": file}}
	}
	return handlers.NewApp(ctx, c), nil
}

// writeHtpasswd puts the hash of the password where the registry reads it.
func writeHtpasswd(root, user, passwordFile string) (string, error) {
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		return "", err
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(strings.TrimRight(string(password), "\r\n")), bcrypt.MinCost)
	if err != nil {
		return "", fmt.Errorf("hash the password in %s: %w", passwordFile, err)
	}
	if strings.ContainsAny(user, ":\n") {
		return "", fmt.Errorf("--htpasswd-user %q: a name may not contain a colon or a line break", user)
	}
	file := filepath.Join(root, "htpasswd")
	return file, os.WriteFile(file, []byte(user+":"+string(hash)+"\n"), 0o600)
}
