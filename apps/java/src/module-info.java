// dependencies of edit 0
module tare {
    requires jdk.httpserver;
}
