//! What is typed or piped in, line by line, from a thread of its own.

use std::{
    cell::Cell,
    env, fs,
    io::{self, BufRead, IsTerminal, Read},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use everwire::Message;
use rustyline::{
    Behavior, Config, Editor, ExternalPrinter, Prompt, error::ReadlineError, history::FileHistory,
};
use tokio::sync::mpsc;

use super::output::Output;

/// Something that came from stdin.
pub(super) enum Input {
    Message(Message<'static>),
    /// Ctrl-C was typed while a line was edited.
    Interrupt,
    /// Nothing more can be read, because of this.
    Error(String),
}

/// Starts to read stdin. The channel ends with it. A message has at most `limit` bytes.
pub(super) fn start(bin: bool, limit: u64, output: &Output) -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(16);
    if io::stdin().is_terminal()
        && let Ok(editor) = LineEditor::new(output)
    {
        std::thread::spawn(move || editor.run(bin, limit, &sender));
    } else {
        std::thread::spawn(move || {
            if let Err(error) = read_stdin(bin, limit, &sender) {
                sender.blocking_send(Input::Error(error)).ok();
            }
        });
    }
    receiver
}

/// Reads what is piped in.
fn read_stdin(bin: bool, limit: u64, sender: &mpsc::Sender<Input>) -> Result<(), String> {
    let mut stdin = io::stdin().lock();
    let failed = |error: io::Error| format!("cannot read stdin: {error}");
    if bin && !io::stdin().is_terminal() {
        let mut bytes = Vec::new();
        let mut bounded = stdin.by_ref().take(limit.saturating_add(1));
        let n = bounded.read_to_end(&mut bytes).map_err(failed)?;
        if n as u64 > limit {
            return Err(too_long("stdin", limit));
        }
        // No input is no message, and not an empty one.
        if n > 0 {
            sender.blocking_send(Input::Message(Message::binary(bytes))).ok();
        }
        return Ok(());
    }
    for number in 1_u64.. {
        let mut line = Vec::new();
        // What ends the line does not count.
        let mut bounded = stdin.by_ref().take(limit.saturating_add(2));
        if bounded.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        if line.pop_if(|byte| *byte == b'\n').is_some() {
            line.pop_if(|byte| *byte == b'\r');
        }
        if line.len() as u64 > limit {
            return Err(too_long(&format!("line {number} of stdin"), limit));
        }
        let message = if bin {
            Message::binary(line)
        } else {
            let text = String::from_utf8(line)
                .map_err(|_| format!("line {number} of stdin is not UTF-8: send it with --bin"))?;
            Message::text(text)
        };
        if sender.blocking_send(Input::Message(message)).is_err() {
            break;
        }
    }
    Ok(())
}

fn too_long(what: &str, limit: u64) -> String {
    format!("{what} has more than {limit} bytes: raise the limit with --max-message")
}

/// The terminal has been given back: no line is edited any more. Locked while an editor takes it.
static GIVEN_BACK: Mutex<bool> = Mutex::new(false);

fn given_back() -> MutexGuard<'static, bool> {
    GIVEN_BACK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands before a line. It is asked for first when the editor has taken the terminal.
struct EditPrompt(Cell<Option<MutexGuard<'static, bool>>>);

impl EditPrompt {
    /// Keeps the terminal from being given back until an editor has taken it; not if it was.
    fn new() -> Option<Self> {
        let guard = given_back();
        (!*guard).then(|| Self(Cell::new(Some(guard))))
    }
}

impl Prompt for EditPrompt {
    fn raw(&self) -> &str {
        drop(self.0.take());
        "> "
    }
}

/// The line editor, with history.
struct LineEditor {
    editor: Editor<(), FileHistory>,
    history: Option<PathBuf>,
}

impl LineEditor {
    /// Takes the terminal, and lets output go above the line that is edited.
    fn new(output: &Output) -> rustyline::Result<Self> {
        let config = Config::builder()
            // Stdout is for messages alone.
            .behavior(Behavior::PreferTerm)
            // It would stay behind in the terminal when we end in the middle of a line.
            .bracketed_paste(false)
            .auto_add_history(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        let mut printer = editor.create_external_printer()?;
        output.print_above(Box::new(move |text| printer.print(text).is_ok()));
        let history = history_file();
        if let Some(path) = &history {
            // The first time there is none.
            editor.load_history(path).ok();
        }
        Ok(Self { editor, history })
    }

    fn run(mut self, bin: bool, limit: u64, sender: &mpsc::Sender<Input>) {
        while let Some(prompt) = EditPrompt::new() {
            let input = match self.editor.readline(&prompt) {
                Ok(line) if line.len() as u64 > limit => Input::Error(too_long("the line", limit)),
                Ok(line) => {
                    self.save();
                    Input::Message(if bin {
                        Message::binary(line.into_bytes())
                    } else {
                        Message::text(line)
                    })
                }
                Err(ReadlineError::Interrupted) => Input::Interrupt,
                Err(ReadlineError::Eof) => break,
                Err(error) => Input::Error(format!("cannot read the terminal: {error}")),
            };
            if sender.blocking_send(input).is_err() {
                break;
            }
        }
    }

    /// Saves at once, because the end comes while the next line is edited.
    fn save(&mut self) {
        let Some(path) = &self.history else { return };
        if self.editor.append_history(path).is_err()
            && let Some(dir) = path.parent()
            && fs::create_dir_all(dir).is_ok()
        {
            self.editor.append_history(path).ok();
        }
    }
}

/// `$XDG_STATE_HOME/everwire/history`, as the XDG base directory specification has it.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("everwire/history"))
}

/// How the terminal was before anybody edited a line on it.
pub(super) struct Terminal(Option<rustix::termios::Termios>);

impl Terminal {
    pub(super) fn save() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    /// Makes the terminal as it was, and clears the prompt.
    pub(super) fn restore(&self) {
        // An editor that is about to take it would leave it behind in its own mode.
        *given_back() = true;
        let Some(saved) = &self.0 else { return };
        let is_raw = rustix::termios::tcgetattr(io::stdin())
            .is_ok_and(|now| now.local_modes != saved.local_modes);
        if is_raw {
            rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, saved)
                .ok();
            if io::stderr().is_terminal() {
                io::Write::write_all(&mut io::stderr(), b"\r\x1b[K").ok();
            }
        }
    }
}
