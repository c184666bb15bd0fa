// A form receiver to compare with: Go's own reader, one file written under a temporary name, synced and renamed.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
)

func receive(folder string) http.HandlerFunc {
	return func(answer http.ResponseWriter, request *http.Request) {
		reader, err := request.MultipartReader()
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		for {
			part, err := reader.NextPart()
			if err == io.EOF {
				break
			}
			if err == nil && part.FileName() != "" {
				err = keep(part, filepath.Join(folder, "go"))
			}
			if err != nil {
				http.Error(answer, err.Error(), http.StatusBadRequest)
				return
			}
		}
		answer.WriteHeader(http.StatusCreated)
	}
}

func keep(part io.Reader, name string) error {
	file, err := os.Create(name + ".tmp")
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err = io.CopyBuffer(file, part, make([]byte, 1<<20)); err != nil {
		return err
	}
	if err = file.Sync(); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name+".mp3")
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, receive(os.Args[1])))
}
