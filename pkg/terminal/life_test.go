// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLife(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keep-until")
	env := map[string]string{
		"WORKSHOP_IDLE_TIMEOUT": "7200", "WORKSHOP_MAX_AGE": "28800", "WORKSHOP_STARTED": "2026-11-24T08:00:00Z", "WORKSHOP_KEEP_UNTIL_FILE": file,
	}
	getenv := func(name string) string { return env[name] }
	life, err := lifeOf(getenv)
	if err != nil {
		t.Fatal(err)
	}
	if life.IdleTimeout != 2*time.Hour || life.MaxAge != 8*time.Hour || !life.Started.Equal(time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", life)
	}
	if kept := life.Kept(); !kept.IsZero() {
		t.Errorf("without a file it is kept until %s", kept)
	}
	for content, want := range map[string]time.Time{
		"":                            {},
		"later":                       {},
		"2026-11-24T18:00:00Z":        time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC),
		"2026-11-24T18:00:00+01:00\n": time.Date(2026, 11, 24, 17, 0, 0, 0, time.UTC),
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := life.Kept(); !got.Equal(want) {
			t.Errorf("%q: kept until %s, want %s", content, got, want)
		}
	}
	for name, value := range map[string]string{"WORKSHOP_IDLE_TIMEOUT": "2h", "WORKSHOP_MAX_AGE": "-1", "WORKSHOP_STARTED": ""} {
		was := env[name]
		env[name] = value
		if _, err := lifeOf(getenv); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q: %v", name, value, err)
		}
		env[name] = was
	}
	if life, err := lifeOf(func(string) string { return "" }); err != nil || life.IdleTimeout != 0 || life.MaxAge != 0 || life.Kept != nil {
		t.Errorf("nothing is said: %+v, %v", life, err)
	}
}
