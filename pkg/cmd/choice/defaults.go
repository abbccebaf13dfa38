// SPDX-License-Identifier: Apache-2.0

package choice

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/workshopctl/workshopctl/pkg/cmd/factory"
	"github.com/workshopctl/workshopctl/pkg/cmd/fault"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

const keyDomain = "domain"

// Defaults are what a person wants of each workshop that they deploy for the
// first time. Once it is deployed, the cluster knows what it is.
type Defaults struct {
	// Spec with the fields that the defaults set.
	Spec workshop.Spec
	// Domain under which hosts are named NAME-NAMESPACE.DOMAIN; may have a port.
	Domain string
}

// LoadDefaults reads the configuration file and the environment, which has the
// last word: WORKSHOPCTL_HUB_IMAGE for the key hub-image.
func LoadDefaults() (Defaults, error) {
	keys := Keys()
	v := viper.New()
	v.SetEnvPrefix(factory.Program)
	v.SetEnvKeyReplacer(strings.NewReplacer("-", "_"))
	for _, k := range keys {
		_ = v.BindEnv(k)
	}
	path := configFile()
	if path != "" {
		v.SetConfigFile(path)
		if err := v.ReadInConfig(); err != nil && !errors.Is(err, os.ErrNotExist) {
			return Defaults{}, fault.Usage("your configuration %s: %w", path, err)
		}
	}
	for _, k := range v.AllKeys() {
		if !slices.Contains(keys, k) {
			return Defaults{}, fault.Usage("your configuration %s: there is no key %q%s", path, k, factory.DidYouMean(k, keys))
		}
	}
	d := Defaults{Domain: v.GetString(keyDomain)}
	for _, s := range settings() {
		if s.own || !v.IsSet(s.flag) {
			continue
		}
		value, err := textOf(v.Get(s.flag))
		if err != nil {
			return Defaults{}, fault.Usage("your configuration %s: %s: %w", path, s.flag, err)
		}
		s.set(&d.Spec, value)
	}
	if v.IsSet(FlagTerminalImage) && v.IsSet(FlagImageStream) {
		return Defaults{}, fault.Usage("your defaults (%s, WORKSHOPCTL_*): %s and %s both say which image sessions run; leave one of them out", path, FlagTerminalImage, FlagImageStream)
	}
	return d, nil
}

// Keys of the configuration file.
func Keys() []string {
	keys := []string{keyDomain}
	for _, s := range settings() {
		if !s.own {
			keys = append(keys, s.flag)
		}
	}
	return keys
}

// configFile is where people keep their defaults.
func configFile() string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, factory.Program, "config.yaml")
}

// textOf is a value as a flag would have it.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case []any:
		words := make([]string, len(v))
		for i, w := range v {
			words[i] = fmt.Sprint(w)
		}
		return strings.Join(words, ","), nil
	case map[string]any:
		return "", errors.New("has fields of its own where one value belongs")
	default:
		return fmt.Sprint(v), nil
	}
}
