// dependencies of edit 0
module tare.dev/calibration/knobs

go 1.24
