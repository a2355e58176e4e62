//! The documentation is complete, and what it points to is there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Names of gorilla/websocket that versions after the one of `names.txt` have.
const LATER_NAMES: [&str; 1] = ["Conn.NetConn"];

/// Folders that hold nothing of ours to read.
const NOT_OURS: [&str; 4] = ["target", "node_modules", "corpus", ".git"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns all files of the repository whose names end so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !NOT_OURS.contains(&name) {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// Returns the lines that are not inside of a fence.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Returns the targets of the links in a Markdown text.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        // Code between backticks links nowhere.
        let line: String = line.split('`').step_by(2).collect();
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| target.to_owned()));
    }
    found
}

/// Returns the anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Returns the pieces of code in a text.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the cells of each row of the tables below a heading.
fn rows<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = text.split_once(heading).expect("there is such a heading");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut dead = Vec::new();
    for page in files(root(), ".md") {
        let text = read(&page);
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let is_there =
                target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !is_there {
                dead.push(format!("{}: {link}", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert_eq!(dead, [""; 0]);
}

#[test]
fn every_page_is_in_the_index() {
    let index = links(&read("docs/README.md"));
    let pages = files(&root().join("docs"), ".md");
    let names = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap());
    let missing: Vec<_> =
        names.filter(|name| *name != "README.md" && !index.iter().any(|it| it == name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_name_of_gorilla_has_its_row() {
    let names = read("conformance/gorilla/names.txt");
    let expected: BTreeSet<&str> =
        names.lines().filter(|line| !line.starts_with('#')).chain(LATER_NAMES).collect();
    let text = read("docs/coming-from-gorilla.md");
    let rows = rows(&text, "\n## Every name");
    let found: Vec<&str> = rows.iter().flat_map(|row| code(row[0])).collect();
    let unique: BTreeSet<&str> = found.iter().copied().collect();
    assert_eq!(unique, expected);
    assert_eq!(found.len(), unique.len(), "a name has one row");
}

/// Returns the names of the functions in a source that are called `trap_` and a number.
fn traps(source: &str) -> impl Iterator<Item = &str> {
    let names = source.split("fn trap_").skip(1).filter_map(|rest| rest.split_once('('));
    names.map(|(name, _)| name).filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
}

#[test]
fn every_trap_has_tests_under_its_number_and_names_them_all() {
    let text = read("docs/coming-from-gorilla.md");
    let rows = rows(&text, "\n## Twenty-eight traps");
    let mut numbers = Vec::new();
    let mut named = BTreeSet::new();
    for row in &rows {
        let Ok(number) = row[0].parse::<u32>() else { continue };
        numbers.push(number);
        let own = format!("trap_{number:02}_");
        let tests = code(row[4]).filter_map(|test| test.strip_prefix("trap_"));
        let before = named.len();
        named.extend(tests.filter(|test| format!("trap_{test}").starts_with(&own)));
        assert!(named.len() > before, "trap {number}: no test called {own}…");
    }
    assert_eq!(numbers, (1..=28).collect::<Vec<_>>());

    let mut sources: Vec<String> = files(&root().join("crates"), ".rs").iter().map(read).collect();
    for row in &rows {
        for test in code(row[4]).filter(|it| it.contains('_') && !it.starts_with("trap_")) {
            let is_there = sources.iter().any(|source| source.contains(&format!("fn {test}()")));
            assert!(is_there, "trap {}: no test {test}", row[0]);
        }
    }
    sources.push(text.clone()); // Its programs are tests as well.
    let found: BTreeSet<&str> = sources.iter().flat_map(|source| traps(source)).collect();
    assert_eq!(named, found, "what the table names, and what there is");
}
