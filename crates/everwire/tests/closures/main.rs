//! `docs/closures.md`, row by row: what a closure says on every path, who is told, and what the
//! other end sees.

#[path = "../common/mod.rs"]
mod common;
mod log;
mod rows;
mod rows_real;
mod stage;
mod table;

use std::collections::BTreeSet;

use log::Log;
use stage::Stage;

/// Which clock a row runs by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Paused,
    Real,
}

fn run(id: &str, clock: Clock, row: rows::Row) -> [String; 3] {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(clock == Clock::Paused)
        .build()
        .unwrap();
    let stage = Stage::new(id);
    let end = runtime.block_on(row(stage.clone()));
    // Whatever comes after the last event would come now.
    runtime.block_on(tokio::task::yield_now());
    drop(runtime);
    stage.check(&end, &Log::take())
}

#[test]
fn every_row_of_the_table_is_true_and_every_path_has_its_row() {
    tracing::subscriber::set_global_default(Log).unwrap();
    let table = table::read();
    let rows: Vec<_> = rows::all().into_iter().chain(rows_real::all()).collect();
    let documented: BTreeSet<_> = table.keys().cloned().collect();
    let tested: BTreeSet<_> = rows.iter().map(|(id, ..)| (*id).to_owned()).collect();
    assert_eq!(tested.len(), rows.len(), "a row has one test");
    assert_eq!(documented, tested, "rows of docs/closures.md, and those that are tested");
    let mut wrong = Vec::new();
    for (id, clock, row) in rows {
        let seen = run(id, clock, row);
        if table[id] != seen {
            wrong.push(format!("{id}: the table says {:?}, it is {seen:?}", table[id]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
