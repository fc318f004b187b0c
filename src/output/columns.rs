//! Rows of cells as lines of text.

use super::harmless;

/// The lines of some rows, whose columns are as wide as their widest cells. What a terminal would take for a command is escaped: cells
/// name what others named, as folders of control groups.
pub(crate) fn lines(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| harmless(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cells() {
        let rows = [vec!["a", "bb"], vec!["äää", "b"], vec!["a"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect());
        assert_eq!(lines(&rows), ["a    bb", "äää  b", "a"]);
    }

    #[test]
    fn a_cell_commands_no_terminal() {
        let rows = [vec!["a\u{1b}[2J".to_owned(), "b".to_owned()]];
        assert_eq!(lines(&rows), ["a\\u{1b}[2J  b"]);
    }
}
