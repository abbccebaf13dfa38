// SPDX-License-Identifier: Apache-2.0

package users

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"rsc.io/qr"
)

// handout is a page with a card for each attendee.
type handout struct {
	Workshop string
	URL      string
	Cards    []Credential
	// Passwords says whether the workshop asks for some.
	Passwords bool
}

//go:embed handout.html
var handoutPage string

var handoutTemplate = template.Must(template.New("handout").Parse(handoutPage))

// page returns the handout as HTML that needs nothing beside it.
func (h handout) page() ([]byte, error) {
	drawn, err := drawQR(h.URL)
	if err != nil {
		return nil, fmt.Errorf("draw the QR code of %s: %w", h.URL, err)
	}
	var out bytes.Buffer
	err = handoutTemplate.Execute(&out, struct {
		handout
		QR template.HTML
		// Address as people type it, in parts that may stand on lines of their own.
		Address []string
	}{h, drawn, strings.SplitAfter(strings.TrimSuffix(strings.TrimPrefix(h.URL, "https://"), "/"), ".")})
	return out.Bytes(), err
}

// quiet is how many modules of white a QR code needs around it.
const quiet = 4

// drawQR draws a QR code as SVG: one path, with a run of dark modules as one
// rectangle.
func drawQR(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", err
	}
	var path strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			start := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if n := x - start; n > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", start+quiet, y+quiet, n, n)
			}
		}
	}
	size := code.Size + 2*quiet
	// Numbers only: nothing of the text stands in it.
	return template.HTML(fmt.Sprintf(`<svg class="qr" role="img" aria-label="QR code of the address" viewBox="0 0 %d %d" shape-rendering="crispEdges"><rect width="100%%" height="100%%" fill="#fff"/><path d="%s" fill="#000"/></svg>`, size, size, path.String())), nil // #nosec G203 -- see above
}
