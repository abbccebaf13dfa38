// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/workshopctl/workshopctl/pkg/terminal/wire"
)

// messageTime is how long the gateway has to answer.
const messageTime = 10 * time.Second

// Message has the gateway show a message on its pages, and says how many there
// are.
func Message(ctx context.Context, address string, news wire.News) (wire.Told, error) {
	ctx, cancel := context.WithTimeout(ctx, messageTime)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return Dial(ctx, address)
	}}}
	body, err := json.Marshal(news)
	if err != nil {
		return wire.Told{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway/message", bytes.NewReader(body))
	if err != nil {
		return wire.Told{}, err
	}
	answer, err := client.Do(r)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return wire.Told{}, ErrNoGateway
	case err != nil:
		return wire.Told{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	switch {
	case err != nil:
		return wire.Told{}, err
	case answer.StatusCode == http.StatusNotFound: // it has run since before an update
		return wire.Told{}, ErrNoGateway
	case answer.StatusCode != http.StatusOK:
		return wire.Told{}, errors.New(strings.TrimSpace(string(text)))
	}
	var told wire.Told
	return told, json.Unmarshal(text, &told)
}
