module tare.dev/tool

go 1.21
