// Reads with pgjdbc, and prints a line of JSON for each query, or for each row of what the driver tells about the database.
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.Statement;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;

class Read {
    public static void main(String[] arguments) throws Exception {
        System.setOut(new java.io.PrintStream(System.out, false, "UTF-8"));
        try (Connection connection = DriverManager.getConnection(arguments[0], arguments[1], System.getenv("PGPASSWORD"))) {
            if (arguments[2].equals("list")) {
                list(connection.getMetaData());
            } else {
                for (int i = 3; i < arguments.length; i++) {
                    read(connection, arguments[i]);
                }
            }
        }
        System.out.flush();
    }

    static void read(Connection connection, String query) throws Exception {
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(query)) {
            ResultSetMetaData about = rows.getMetaData();
            List<String> names = new ArrayList<>();
            for (int i = 1; i <= about.getColumnCount(); i++) {
                names.add(json(about.getColumnName(i)));
            }
            List<String> lines = new ArrayList<>();
            while (rows.next()) {
                List<String> cells = new ArrayList<>();
                for (int i = 1; i <= names.size(); i++) {
                    Object value = rows.getObject(i);
                    cells.add(value == null ? "null" : list(List.of(json(value.getClass().getName()), json(text(rows, i, value)))));
                }
                lines.add(list(cells));
            }
            System.out.println(list(List.of(list(names), list(lines))));
        }
    }

    static String text(ResultSet rows, int column, Object value) throws Exception {
        if (value instanceof java.sql.Timestamp) {
            return rows.getObject(column, OffsetDateTime.class).toString();
        }
        if (value instanceof java.sql.Date) {
            return rows.getObject(column, LocalDate.class).toString();
        }
        return value instanceof BigDecimal number ? number.toPlainString() : value.toString();
    }

    static void list(DatabaseMetaData about) throws Exception {
        print(about.getSchemas());
        print(about.getTables(null, "%", "%", null));
        print(about.getColumns(null, "%", "%", "%"));
        print(about.getTablePrivileges(null, "aximo%", "%"));
        print(about.getFunctions(null, "%", "%"));
        List<String> names = new ArrayList<>();
        try (ResultSet tables = about.getTables(null, "aximo%", "%", null)) {
            while (tables.next()) {
                names.add(tables.getString("TABLE_SCHEM"));
                names.add(tables.getString("TABLE_NAME"));
            }
        }
        for (int i = 0; i < names.size(); i += 2) {
            // Also how many rows and pages the driver thinks there are.
            print(about.getIndexInfo(null, names.get(i), names.get(i + 1), false, true));
            print(about.getPrimaryKeys(null, names.get(i), names.get(i + 1)));
        }
    }

    static void print(ResultSet rows) throws Exception {
        ResultSetMetaData about = rows.getMetaData();
        while (rows.next()) {
            List<String> cells = new ArrayList<>();
            for (int i = 1; i <= about.getColumnCount(); i++) {
                cells.add(json(about.getColumnName(i)) + ": " + json(rows.getString(i)));
            }
            System.out.println("{" + String.join(", ", cells) + "}");
        }
        rows.close();
    }

    static String list(List<String> items) {
        return "[" + String.join(", ", items) + "]";
    }

    static String json(String text) {
        if (text == null) {
            return "null";
        }
        StringBuilder found = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            found.append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        }
        return found.append('"').toString();
    }
}
