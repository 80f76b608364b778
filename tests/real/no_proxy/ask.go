// Fetches each URL by Go's default client; a line each: what the server said, or -.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	client := http.Client{Timeout: 10 * time.Second}
	for _, url := range os.Args[1:] {
		said := "-"
		if answer, err := client.Get(url); err == nil {
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			said = string(body)
		}
		fmt.Println(said)
	}
}
