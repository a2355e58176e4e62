//! What a terminal may be shown of a peer's bytes.

use std::fmt::Write;

/// Escapes what could command a terminal or disguise text on it.
///
/// Letters of every script stay; what goes is C0 (a line feed too: it could fake a line of ours),
/// DEL, C1, and the characters that turn the direction of the text around.
pub(crate) fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode());
            }
            c if c.is_control() => shown.extend(c.escape_debug()),
            c => shown.push(c),
        }
    }
    shown
}

/// Shows bytes like `hexdump -C`: offset, 16 bytes, and what of them is ASCII.
pub(super) fn hex_dump(bytes: &[u8]) -> String {
    let mut dump = String::with_capacity(bytes.len().div_ceil(16) * 78 + 32);
    // A string takes everything.
    let _ = write!(dump, "[{} bytes]", bytes.len());
    for (row, chunk) in bytes.chunks(16).enumerate() {
        let _ = write!(dump, "\n{:08x} ", row * 16);
        for at in 0..16 {
            dump.push_str(if at == 8 { "  " } else { " " });
            let _ = match chunk.get(at) {
                Some(byte) => write!(dump, "{byte:02x}"),
                None => write!(dump, "  "),
            };
        }
        let ascii = |&byte: &u8| if (b' '..=b'~').contains(&byte) { char::from(byte) } else { '.' };
        let text: String = chunk.iter().map(ascii).collect();
        let _ = write!(dump, "  |{text}|");
    }
    dump
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped() {
        assert_eq!(escape("größer\t\n日本"), "größer\\t\\n日本");
        assert_eq!(escape("\x1b]0;x\x07\r\x7f\0"), "\\u{1b}]0;x\\u{7}\\r\\u{7f}\\0");
        assert_eq!(escape("\u{9b}31m\u{202e}"), "\\u{9b}31m\\u{202e}");
    }

    #[test]
    fn a_dump_has_offset_bytes_and_text() {
        let bytes: Vec<u8> = (0x38..=0x48).collect();
        let expected = "[17 bytes]\n\
            00000000  38 39 3a 3b 3c 3d 3e 3f  40 41 42 43 44 45 46 47  |89:;<=>?@ABCDEFG|\n\
            00000010  48                                                |H|";
        assert_eq!(hex_dump(&bytes), expected);
        assert_eq!(hex_dump(b""), "[0 bytes]");
    }
}
