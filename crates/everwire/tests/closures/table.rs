//! The tables of the document.

use std::collections::BTreeMap;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/closures.md");

/// Returns cause, cleanness and what the other end sees, by the id of the row.
pub(crate) fn read() -> BTreeMap<String, [String; 3]> {
    let text = std::fs::read_to_string(DOCUMENT).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(cell).collect();
        let [id, _, cause, clean, sees] = &cells[..] else { panic!("five columns: {line}") };
        if id == "row" || id.starts_with('-') {
            continue;
        }
        let row = [cause.clone(), clean.clone(), sees.clone()];
        assert!(rows.insert(id.clone(), row).is_none(), "two rows are called {id}");
    }
    rows
}

fn cell(text: &str) -> String {
    text.trim().trim_matches('`').to_owned()
}
