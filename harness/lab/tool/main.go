// Tool is the one program Tare runs in containers of its own. It answers at once, so its start-up is the floor
// of the engine; it holds a network namespace open; it reads the peak memory of the processes beside it; it carries
// connections to an engine that is on another machine.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
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
	case "run":
		run(os.Args[2:])
	case "boot":
		boot()
	case "relay":
		relay(argument("127.0.0.1:8080"))
	default:
		fmt.Fprintln(os.Stderr, "usage: tool serve [PORT] | pause | peak | run COMMAND… | boot | relay ADDRESS")
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

// relay carries one connection: what comes in goes to the address, and what the address answers goes out. Nothing is
// dialled before the first byte has come in, and then every half millisecond until somebody listens; the end of the
// input is the end of all.
func relay(address string) {
	type piece struct {
		data []byte
		end  bool
	}
	pieces := make(chan piece, 16)
	go func() {
		for {
			data := make([]byte, 64<<10)
			size, err := os.Stdin.Read(data)
			pieces <- piece{data[:size], err != nil}
			if err != nil {
				return
			}
		}
	}()
	next := <-pieces
	var connection net.Conn
	for connection == nil && !next.end {
		var err error
		if connection, err = net.Dial("tcp", address); err == nil {
			break
		}
		select {
		case more := <-pieces:
			next = piece{append(next.data, more.data...), more.end}
		case <-time.After(500 * time.Microsecond):
		}
	}
	if connection == nil {
		return
	}
	go func() {
		io.Copy(os.Stdout, connection)
		os.Exit(0)
	}()
	for {
		if _, err := connection.Write(next.data); err != nil || next.end {
			return
		}
		next = <-pieces
	}
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

// run runs a command to its end and then writes the peak resident memory of its largest process (ru_maxrss, which
// getrusage(2) gives in KiB) to standard error, in bytes. It ends with the exit code of the command.
func run(command []string) {
	path, err := exec.LookPath(command[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	process, err := os.StartProcess(path, command, &os.ProcAttr{Files: files})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(126)
	}
	state, err := process.Wait()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		fmt.Fprintf(os.Stderr, "tare-peak %d\n", int64(usage.Maxrss)*1024)
	}
	os.Exit(state.ExitCode())
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
