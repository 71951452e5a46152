// A program whose cost is known: it waits DELAY (a duration) and fills ALLOCATE bytes before it listens, and answers
// every request with "ok". Without net/http, so that little is compiled.
package main

import (
	"bufio"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

const (
	revision = "0"
	page     = 4096
	answer   = "HTTP/1.1 200 OK\r\nX-Revision: " + revision + "\r\nContent-Length: 2\r\n\r\nok"
)

var kept []byte

func serve(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for { // until the client closes: who closes first keeps the port
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if line == "\r\n" {
			if _, err := connection.Write([]byte(answer)); err != nil {
				return
			}
		}
	}
}

func main() {
	if text := os.Getenv("ALLOCATE"); text != "" {
		size, err := strconv.Atoi(text)
		if err != nil {
			log.Fatal(err)
		}
		kept = make([]byte, size)
		for i := 0; i < size; i += page {
			kept[i] = 1
		}
	}
	if text := os.Getenv("DELAY"); text != "" {
		delay, err := time.ParseDuration(text)
		if err != nil {
			log.Fatal(err)
		}
		time.Sleep(delay)
	}
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection)
	}
}
