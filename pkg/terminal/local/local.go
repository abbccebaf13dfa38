// SPDX-License-Identifier: Apache-2.0

// Package local is the gateway's door for those who are already in the
// session's container: a socket without a file, since there may be no place to
// make one, open to programs of the gateway's own user. The attendee's programs
// are of that user as well, and gain nothing: the shell that they would join is
// theirs.
package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Address of the socket of the session that has the given prefix. The
// container's environment names the prefix, so that whoever is run in it finds
// the socket.
func Address(prefix string) string {
	sum := sha256.Sum256([]byte(prefix))
	return "@workshop-terminal-" + hex.EncodeToString(sum[:8])
}

// Listen opens the socket.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", address)
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

// listener accepts connections of the program's own user only. Sockets without
// a file have no mode that would see to it.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || own(c) == nil {
			return c, err
		}
		_ = c.Close()
	}
}

// Dial connects to the socket.
func Dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", address)
	if err != nil {
		return nil, err
	}
	if err := own(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// own says whether the program at the other end is of this one's user.
func own(c net.Conn) error {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	switch {
	case controlErr != nil:
		return controlErr
	case err != nil:
		return err
	case int(peer.Uid) != os.Geteuid():
		return fmt.Errorf("the program at the other end is of user %d, not of this one's", peer.Uid)
	}
	return nil
}
