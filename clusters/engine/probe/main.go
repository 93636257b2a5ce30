// Command probe does nothing, successfully. It is the whole of the image with
// which the engine proves that privileged containers start.
package main

func main() {}
