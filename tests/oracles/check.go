// Go's sumdb packages judge what we made: reads the evidence as JSON, prints {name of the check: verdict}.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type evidence struct {
	Note, Vkey, Digest, OldRoot string
	Path, Growth                []string
	Index, OldSize              int64
}

func hash(text string) (h tlog.Hash) {
	data, err := hex.DecodeString(text)
	if err != nil || copy(h[:], data) != len(h) {
		panic("not a hash: " + text)
	}
	return h
}

func hashes(texts []string) (all []tlog.Hash) {
	for _, text := range texts {
		all = append(all, hash(text))
	}
	return all
}

func opened(text, vkey string) (string, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return "", err
	}
	signed, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return "", err
	}
	return signed.Text, nil
}

func main() {
	var given evidence
	data, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(data, &given)
	}
	if err != nil {
		panic(err)
	}
	text, noteErr := opened(given.Note, given.Vkey)
	lines := strings.Split(text+"\n\n\n", "\n")
	size, _ := strconv.ParseInt(lines[1], 10, 64)
	packed, _ := base64.StdEncoding.DecodeString(lines[2])
	root := hash(hex.EncodeToString(packed))

	digest, _ := hex.DecodeString(given.Digest)
	leaf := tlog.RecordHash(digest)
	path, growth := hashes(given.Path), hashes(given.Growth)
	_, changedErr := opened(strings.Replace(given.Note, lines[1], lines[1]+"0", 1), given.Vkey)

	verdicts, _ := json.Marshal(map[string]bool{
		"sumdb takes the checkpoint":             noteErr == nil,
		"sumdb refuses a changed checkpoint":     changedErr != nil,
		"sumdb takes the proof of inclusion":     tlog.CheckRecord(path, size, root, given.Index, leaf) == nil,
		"sumdb refuses it at another place":      tlog.CheckRecord(path, size, root, given.Index-1, leaf) != nil,
		"sumdb takes the proof of consistency":   tlog.CheckTree(growth, size, root, given.OldSize, hash(given.OldRoot)) == nil,
		"sumdb refuses it from another old root": tlog.CheckTree(growth, size, root, given.OldSize, root) != nil,
	})
	fmt.Println(string(verdicts))
}
