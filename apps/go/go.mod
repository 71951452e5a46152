// dependencies of edit 0
module tare.dev/apps/go

go 1.24
