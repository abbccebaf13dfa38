// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/startup"
	"github.com/workshopctl/workshopctl/pkg/transfer"
)

// errPartly says that not all could be sent; what couldn't has been told.
var errPartly = errors.New("not all of it can be read")

// pack sends a file or folder of the session to stdout, for `sessions cp`.
func pack(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return ErrUsage
	}
	hide()
	sent, err := transfer.Send(ctx, stdout, placeOf(flags.Arg(0)), transfer.SendOptions{LeftOut: tellLeftOut(stderr)})
	if err == nil && sent.LeftOut > 0 {
		return errPartly
	}
	return err
}

// unpack takes in what comes from stdin, and says on stdout where it is now.
func unpack(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("unpack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("name", "", "name of what comes, if its place is a folder")
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		return ErrUsage
	}
	if strings.ContainsAny(*name, "/\x00") || *name == "." || *name == ".." {
		return fmt.Errorf("%q is no name", *name)
	}
	hide()
	syscall.Umask(0o002)
	// Nothing comes before this: a session whose gateway doesn't know how is sent
	// nothing.
	fmt.Fprintln(stdout, transfer.Ready)
	from := newPatient(stdin)
	came, err := transfer.Receive(ctx, from, placeOf(flags.Arg(0)), transfer.ReceiveOptions{Name: *name, LeftOut: tellLeftOut(stderr)})
	if err != nil {
		// The other end stops when it reads why. Until then what it sends must be
		// taken, or the way back is blocked, too.
		fmt.Fprintln(stderr, "workshop-terminal:", plain(err.Error()))
		_, _ = io.Copy(io.Discard, from)
		return ErrTold
	}
	return json.NewEncoder(stdout).Encode(came)
}

func tellLeftOut(w io.Writer) func(name, why string) {
	return func(name, why string) { fmt.Fprintf(w, "left out: %s: %s\n", plain(name), plain(why)) }
}

// placeOf is a path as the attendee's shell would have it: below its directory,
// or its home. A slash at its end stays.
func placeOf(path string) string {
	machine := startup.Machine{Environ: os.Environ(), UID: os.Getuid()}
	setup, _ := machine.Look(os.Getenv("JUPYTERHUB_USER")) // there may be no shell, which is not needed here
	switch rest, home := strings.CutPrefix(path, "~"); {
	case home && (rest == "" || rest[0] == '/'):
		return setup.Home + rest
	case !filepath.IsAbs(path):
		return setup.Dir + "/" + path
	}
	return path
}

// stallTime is how long nothing need come from a trainer's machine for it to be
// taken for gone: not every way through the network says so.
const stallTime = 2 * time.Minute

// patient reads from a stream that may fall silent.
type patient struct {
	chunks chan []byte
	err    error // valid when chunks is closed
	rest   []byte
	timer  *time.Timer
}

func newPatient(r io.Reader) *patient {
	p := &patient{chunks: make(chan []byte), timer: time.NewTimer(stallTime)}
	go func() {
		defer close(p.chunks)
		for {
			buf := make([]byte, 64<<10)
			n, err := r.Read(buf)
			if n > 0 {
				p.chunks <- buf[:n]
			}
			if err != nil {
				p.err = err
				return
			}
		}
	}()
	return p
}

func (p *patient) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		p.timer.Reset(stallTime)
		select {
		case chunk, ok := <-p.chunks:
			if !ok {
				return 0, p.err
			}
			p.rest = chunk
		case <-p.timer.C:
			return 0, transfer.ErrBroken
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}
