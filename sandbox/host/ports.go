// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Port is one that a sandbox wants on the host's loopback address.
type Port struct {
	// Purpose is told to users: "API server".
	Purpose string
	// Flag is the option that chooses another port: "--api-port".
	Flag string
	// Number is the port wanted. With Fixed it must be that one; else it is
	// a proposal, and a free port is as good. 0 means any.
	Number int
	Fixed  bool
}

// PortBusyError says that a port which was asked for is in use.
type PortBusyError struct{ Port Port }

func (e *PortBusyError) Error() string {
	return fmt.Sprintf("port %d of 127.0.0.1, wanted for the %s, is in use (see who has it by: ss -ltnp sport = :%d): free it, or choose another by %s",
		e.Port.Number, e.Port.Purpose, e.Port.Number, e.Port.Flag)
}

// Listen opens the port on 127.0.0.1 and returns the socket as a file, for a
// child process to inherit, with the number it got.
func Listen(ctx context.Context, p Port) (*os.File, int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Number)))
	if errors.Is(err, unix.EADDRINUSE) {
		if p.Fixed {
			return nil, 0, &PortBusyError{p}
		}
		l, err = lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open a port for the %s: %w", p.Purpose, err)
	}
	defer l.Close() // File returns a descriptor of its own
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, 0, err
	}
	return f, l.Addr().(*net.TCPAddr).Port, nil
}
