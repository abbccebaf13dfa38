// SPDX-License-Identifier: Apache-2.0

package users

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/workshopctl/workshopctl/pkg/password"
	"github.com/workshopctl/workshopctl/pkg/workshop"
)

// Person of a file.
type Person struct {
	Name string
	// Password as given, "" for none.
	Password string
	Admin    bool
}

// LineError says what is wrong with one line of a file.
type LineError struct {
	Line    int
	Problem string
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// The columns of a file, by the words that a header may have for them.
var columns = map[string]string{
	"name": "name", "user": "name", "username": "name", "login": "name",
	"password": "password",
	"admin":    "admin",
}

// Parse reads a file of attendees: lines of name[,password][,admin], with
// semicolons or tabs in place of commas if the first line has those, as
// spreadsheets write them. A header may name the columns in another order.
// Empty lines, and those that start with #, are left out. All lines that are
// wrong are in the error, each as a *LineError; no password is. normal is a
// name as the hub has it.
func Parse(content []byte, passwords bool, normal func(string) string) ([]Person, error) {
	r := reader(content)
	var (
		people []Person
		errs   []error
		header = []string{"name", "password", "admin"}
		seen   = map[string]int{}
		first  = true
	)
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) { // what follows can't be told apart any more
			errs = append(errs, &LineError{wrong.StartLine, wrong.Err.Error()})
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if first {
			first = false
			named, problem := headerOf(fields)
			if problem != "" {
				return nil, &LineError{line, problem}
			}
			if named != nil {
				header = named
				continue
			}
		}
		if len(strings.Join(fields, "")) == 0 {
			continue
		}
		p, problems := person(fields, header, passwords)
		if normal != nil {
			p.Name = normal(p.Name)
		}
		if other, twice := seen[p.Name]; twice && p.Name != "" {
			problems = append(problems, fmt.Sprintf("%s is in line %d, too", p.Name, other))
		}
		seen[p.Name] = line
		for _, problem := range problems {
			errs = append(errs, &LineError{line, problem})
		}
		people = append(people, p)
	}
	if len(errs) == 0 && len(people) == 0 {
		return nil, errors.New("it has no line with a name")
	}
	return people, errors.Join(errs...)
}

// reader of the lines of a file.
func reader(content []byte) *csv.Reader {
	content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")) // of a spreadsheet
	r := csv.NewReader(bytes.NewReader(content))
	r.Comma, r.Comment, r.FieldsPerRecord = separator(content), '#', -1
	r.TrimLeadingSpace = r.Comma != '\t' // or an empty column would be none
	return r
}

// Names reads the names alone, from such a file, from another one that has them
// in its first column, or from a list with one a line.
func Names(content []byte) ([]string, error) {
	r := reader(content)
	var names []string
	column, first := 0, true
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			return nil, &LineError{wrong.StartLine, "it is neither a name nor CSV: " + wrong.Err.Error()}
		}
		if err != nil {
			return nil, err
		}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if first {
			first = false
			if i := nameColumn(fields); i >= 0 {
				column = i
				continue
			}
		}
		if column < len(fields) && fields[column] != "" && !strings.HasPrefix(fields[0], "#") {
			names = append(names, fields[column])
		}
	}
}

// firstColumns are more words for names that stand in the first column.
var firstColumns = []string{"user name", "email", "e-mail"}

// nameColumn returns where the names stand by a first line that is a header, -1
// if it is a line like the others. Other columns of other people's files may be
// called anything, so one that isn't the first has to stand among ours.
func nameColumn(fields []string) int {
	if word := strings.ToLower(fields[0]); columns[word] == "name" || slices.Contains(firstColumns, word) {
		return 0
	}
	header, problem := headerOf(fields)
	if problem != "" {
		return -1
	}
	return slices.Index(header, "name")
}

// separator of the columns, by the first line that has one.
func separator(content []byte) rune {
	for line := range bytes.Lines(content) {
		if i := bytes.IndexAny(line, ",;\t"); i >= 0 && line[0] != '#' {
			return rune(line[i])
		}
	}
	return ','
}

// headerOf returns the columns that a first line names, nil if it is a line
// like the others.
func headerOf(fields []string) (header []string, problem string) {
	var unknown []string
	for _, f := range fields {
		column := columns[strings.ToLower(f)]
		if column == "" && f != "" {
			unknown = append(unknown, f)
		}
		header = append(header, column)
	}
	if !slices.Contains(header, "name") {
		return nil, ""
	}
	if len(unknown) > 0 && len(fields) > 1 {
		return nil, fmt.Sprintf("there is no column %q; the columns are name, password and admin", unknown[0])
	}
	return header, ""
}

func person(fields, header []string, passwords bool) (p Person, problems []string) {
	for i, value := range fields {
		column := ""
		if i < len(header) {
			column = header[i]
		}
		switch {
		case column == "name":
			p.Name = value
		case column == "password":
			p.Password = value
		case column == "admin":
			var known bool
			if p.Admin, known = truth(value); !known {
				problems = append(problems, fmt.Sprintf("column admin has %q; write true or false", value))
			}
		case value != "":
			problems = append(problems, fmt.Sprintf("there are %d columns; a line has a name, and may have a password and whether it is an admin's", len(fields)))
		}
	}
	if problem := workshop.UserProblem(p.Name); problem != "" {
		problems = append(problems, fmt.Sprintf("%q %s", p.Name, problem))
	}
	switch {
	case p.Password == "":
	case !passwords:
		problems = append(problems, "it has a password, but attendees of this workshop log in elsewhere; leave the column empty")
	default:
		if problem := password.Problem(p.Password, p.Admin); problem != "" {
			problems = append(problems, problem)
		}
	}
	return p, problems
}

func truth(value string) (admin, known bool) {
	switch strings.ToLower(value) {
	case "", "0", "no", "n", "false":
		return false, true
	case "1", "yes", "y", "true", "x", "admin":
		return true, true
	}
	return false, false
}
