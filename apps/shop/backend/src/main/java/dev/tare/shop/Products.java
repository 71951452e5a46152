package dev.tare.shop;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.StringJoiner;

/** The products, as the database has them. */
final class Products {
    private static final int PATIENCE = 60_000; // ms for the database to answer, as it may start beside this program
    private static final int PAUSE = 20; // ms between tries
    private static final String[] SCHEMA = {
        """
        CREATE TABLE IF NOT EXISTS product (
            id INT AUTO_INCREMENT PRIMARY KEY,
            name VARCHAR(100) NOT NULL UNIQUE,
            cents INT NOT NULL)
        """,
        """
        INSERT IGNORE INTO product (id, name, cents)
        VALUES (1, 'Kitchen scale', 1990), (2, 'Brass weights', 4500), (3, 'Letter balance', 12900)
        """,
    };

    private final String url;
    private Connection connection;

    private Products(String url) {
        this.url = url;
    }

    /** Connects to {@code address} (host:port), which may not listen yet, and makes the table where there is none. */
    static Products open(String address) throws SQLException, InterruptedException {
        var products = new Products("jdbc:mariadb://" + address + "/shop?user=shop&password=shop&connectTimeout=1000");
        long deadline = System.currentTimeMillis() + PATIENCE;
        while (true) {
            try {
                products.connect();
                break;
            } catch (SQLException e) {
                if (System.currentTimeMillis() > deadline) {
                    throw e;
                }
                Thread.sleep(PAUSE);
            }
        }
        try (var statement = products.connection.createStatement()) {
            for (var text : SCHEMA) {
                statement.execute(text);
            }
        }
        return products;
    }

    private Connection connect() throws SQLException {
        if (connection == null || !connection.isValid(1)) {
            connection = DriverManager.getConnection(url);
        }
        return connection;
    }

    /** All products and the database's own word of what it is, so that nobody can make them up. */
    synchronized String json() throws SQLException {
        var list = new StringJoiner(", ", "[", "]");
        var database = "";
        try (var statement = connect().createStatement();
                var rows = statement.executeQuery("SELECT id, name, cents, VERSION() FROM product ORDER BY id")) {
            while (rows.next()) {
                list.add("{\"id\": %d, \"name\": \"%s\", \"cents\": %d}"
                        .formatted(rows.getInt(1), rows.getString(2), rows.getInt(3)));
                database = rows.getString(4);
            }
        }
        return "{\"database\": \"%s\", \"products\": %s}".formatted(database, list);
    }

    synchronized void add(String name, int cents) throws SQLException {
        var text = "INSERT INTO product (name, cents) VALUES (?, ?) ON DUPLICATE KEY UPDATE cents = VALUES(cents)";
        try (var insert = connect().prepareStatement(text)) {
            insert.setString(1, name);
            insert.setInt(2, cents);
            insert.executeUpdate();
        }
    }
}
