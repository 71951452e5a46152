// Tool is the one program Tare runs in containers of its own. It answers at once, so its start-up is the floor
// of the engine; it holds a network namespace open; it reads the peak memory of the processes beside it.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	verb := "serve"
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	switch verb {
	case "serve":
		serve(argument("8080"))
	case "pause":
		pause()
	case "peak":
		peak()
	case "boot":
		boot()
	default:
		fmt.Fprintln(os.Stderr, "usage: tool serve [PORT] | pause | peak | boot")
		os.Exit(2)
	}
}

func argument(other string) string {
	if len(os.Args) > 2 {
		return os.Args[2]
	}
	return other
}

// serve answers every request with "ok" from the first instruction on. Bare sockets: an HTTP library would start
// slower, and be most of the time it takes to build this.
func serve(port string) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			defer connection.Close()
			request := make([]byte, 4096)
			for {
				if _, err := connection.Read(request); err != nil {
					return
				}
				fmt.Fprint(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		}()
	}
}

func pause() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
}

// boot prints which boot of which kernel this is (random(4)): containers of one machine have the same.
func boot() {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(string(id))
}

// peak prints the sum of VmHWM (peak resident set, proc(5)) over all processes of this process namespace but
// itself, in bytes. Pages that processes share count once for each.
func peak() {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	self := strconv.Itoa(os.Getpid())
	var sum int64
	for _, file := range files {
		if strings.Split(file, "/")[2] != self {
			sum += high(file)
		}
	}
	fmt.Println(sum)
}

func high(file string) int64 {
	opened, err := os.Open(file)
	if err != nil {
		return 0 // it ended meanwhile
	}
	defer opened.Close()
	for lines := bufio.NewScanner(opened); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(words[1], 10, 64)
			return kib * 1024
		}
	}
	return 0
}
