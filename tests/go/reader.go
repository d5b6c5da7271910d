// Reads a published log with Go's own golang.org/x/mod/sumdb, and nothing of this project:
//
//	reader FOLDER VERIFIER-KEY OLDER-SIZE
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type folder string

func (folder) Height() int { return 8 }

// The paths of sumdb have the height in them.
func path(tile tlog.Tile) string { return strings.Replace(tile.Path(), "tile/8/", "tile/", 1) }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), path(tile)))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (folder) SaveTiles([]tlog.Tile, [][]byte) {}

func check(err error, what string) {
	if err != nil {
		fmt.Println(what, err)
		os.Exit(1)
	}
}

func main() {
	where := folder(os.Args[1])
	verifier, err := note.NewVerifier(os.Args[2])
	check(err, "key")
	older, err := strconv.ParseInt(os.Args[3], 10, 64)
	check(err, "size")
	data, err := os.ReadFile(filepath.Join(os.Args[1], "checkpoint"))
	check(err, "checkpoint")
	opened, err := note.Open(data, note.VerifierList(verifier))
	check(err, "signature")
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err, "size")
	var tree tlog.Tree
	tree.N = size
	root, err := base64.StdEncoding.DecodeString(lines[2])
	check(err, "root")
	copy(tree.Hash[:], root)
	reader := tlog.TileHashReader(tree, where)
	found, err := tlog.TreeHash(size, reader)
	check(err, "tiles")
	if found != tree.Hash {
		check(fmt.Errorf("differs"), "root")
	}
	before, err := tlog.TreeHash(older, reader)
	check(err, "older root")
	growth, err := tlog.ProveTree(size, older, reader)
	check(err, "growth")
	check(tlog.CheckTree(growth, size, tree.Hash, older, before), "growth")
	entries := int64(0)
	for entries < size {
		width := size - entries
		name := "tile/entries" + strings.TrimPrefix(tlog.Tile{H: 8, L: 0, N: entries / 256, W: 256}.Path(), "tile/8/0")
		if width < 256 {
			name += fmt.Sprintf(".p/%d", width)
		}
		data, err := os.ReadFile(filepath.Join(os.Args[1], name))
		check(err, "bundle")
		for in := bytes.NewReader(data); in.Len() > 0; entries++ {
			length := make([]byte, 2)
			_, err := in.Read(length)
			check(err, "bundle")
			entry := make([]byte, int(length[0])<<8|int(length[1]))
			if n, _ := in.Read(entry); n != len(entry) {
				check(fmt.Errorf("ends amid an entry"), "bundle")
			}
			proof, err := tlog.ProveRecord(size, entries, reader)
			check(err, "proof")
			if tlog.CheckRecord(proof, size, tree.Hash, entries, tlog.RecordHash(entry)) != nil {
				check(fmt.Errorf("%d", entries), "entry differs")
			}
		}
	}
	fmt.Printf("ok: signature, root, %d entries, growth %d -> %d\n", entries, older, size)
}
