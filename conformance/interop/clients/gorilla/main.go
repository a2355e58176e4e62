// Checks an echo server with Go's gorilla/websocket.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

var url = os.Args[1]

func open(dialer websocket.Dialer) *websocket.Conn {
	dialer.HandshakeTimeout = 10 * time.Second
	conn, _, err := dialer.Dial(url, nil)
	must(err)
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func expect(expected, actual interface{}) {
	if expected != actual {
		panic(fmt.Sprintf("expected %.80q, got %.80q", fmt.Sprint(expected), fmt.Sprint(actual)))
	}
}

func expectMessage(conn *websocket.Conn, kind int, message string) {
	gotKind, got, err := conn.ReadMessage()
	must(err)
	expect(kind, gotKind)
	expect(message, string(got))
}

func echoed(dialer websocket.Dialer, kind int, messages ...string) {
	conn := open(dialer)
	defer conn.Close()
	for _, message := range messages {
		must(conn.WriteMessage(kind, []byte(message)))
		expectMessage(conn, kind, message)
	}
}

// A message larger than the write buffer leaves in fragments.
func fragmentedMessageWithAPingInside() {
	conn := open(websocket.Dialer{WriteBufferSize: 64})
	defer conn.Close()
	pong := ""
	conn.SetPongHandler(func(data string) error { pong = data; return nil })
	half := strings.Repeat("é", 500)
	writer, err := conn.NextWriter(websocket.TextMessage)
	must(err)
	_, err = writer.Write([]byte(half))
	must(err)
	must(conn.WriteControl(websocket.PingMessage, []byte("are you there"), time.Now().Add(time.Second)))
	_, err = writer.Write([]byte(half))
	must(err)
	must(writer.Close())
	expectMessage(conn, websocket.TextMessage, half+half)
	expect("are you there", pong)
}

func subprotocolOfferedButNotChosen() {
	conn := open(websocket.Dialer{Subprotocols: []string{"nobody.speaks.this"}})
	defer conn.Close()
	expect("", conn.Subprotocol())
	must(conn.WriteMessage(websocket.TextMessage, []byte("hi")))
	expectMessage(conn, websocket.TextMessage, "hi")
}

func closeCodeComesBack() {
	conn := open(websocket.Dialer{})
	defer conn.Close()
	bye := websocket.FormatCloseMessage(4001, "bye")
	must(conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)))
	_, _, err := conn.ReadMessage()
	closed, ok := err.(*websocket.CloseError)
	expect(true, ok)
	expect(4001, closed.Code)
}

func run(name string, check func()) (ok bool) {
	defer func() {
		if reason := recover(); reason != nil {
			fmt.Printf("FAILED  %s: %v\n", name, reason)
		} else {
			fmt.Printf("ok      %s\n", name)
			ok = true
		}
	}()
	check()
	return
}

func main() {
	plain, deflate := websocket.Dialer{}, websocket.Dialer{EnableCompression: true}
	ok := true
	for _, check := range []struct {
		name string
		run  func()
	}{
		{"text", func() { echoed(plain, websocket.TextMessage, "hi", "größer") }},
		{"binary", func() { echoed(plain, websocket.BinaryMessage, "\x00\x01\xfe\xff") }},
		{"empty message", func() {
			echoed(plain, websocket.TextMessage, "")
			echoed(plain, websocket.BinaryMessage, "")
		}},
		{"one mebibyte", func() { echoed(plain, websocket.TextMessage, strings.Repeat("é", 1<<19)) }},
		{"compression offered", func() { echoed(deflate, websocket.TextMessage, strings.Repeat("hi", 1000)) }},
		{"fragmented message with a ping inside", fragmentedMessageWithAPingInside},
		{"subprotocol offered but not chosen", subprotocolOfferedButNotChosen},
		{"close code comes back", closeCodeComesBack},
	} {
		ok = run(check.name, check.run) && ok
	}
	if !ok {
		os.Exit(1)
	}
}
