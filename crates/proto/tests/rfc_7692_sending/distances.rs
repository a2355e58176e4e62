//! A small inflater of its own, to see how far a compressed message refers back. See RFC 1951.

/// Inflates a message without its tail, appends it to `history`, and returns the largest distance.
pub(crate) fn distances(message: &[u8], history: &mut Vec<u8>) -> usize {
    let input = [message, &[0, 0, 0xFF, 0xFF]].concat();
    let mut bits = Bits { input: &input, at: 0 };
    let mut most = 0;
    while bits.at < input.len() * 8 {
        assert_eq!(bits.take(1), 0, "no final block");
        match bits.take(2) {
            0 => stored(&mut bits, history),
            1 => {
                let fixed: Vec<u8> = (0..288)
                    .map(|symbol| match symbol {
                        0..144 => 8,
                        144..256 => 9,
                        256..280 => 7,
                        _ => 8,
                    })
                    .collect();
                most = most.max(block(&mut bits, history, &fixed, &[5; 30]));
            }
            2 => {
                let (literals, offsets) = tables(&mut bits);
                most = most.max(block(&mut bits, history, &literals, &offsets));
            }
            _ => panic!("a reserved type of block"),
        }
    }
    most
}

struct Bits<'a> {
    input: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, n: usize) -> usize {
        let bit = |at: usize| usize::from(self.input[at / 8] >> (at % 8) & 1);
        let value = (0..n).map(|i| bit(self.at + i) << i).sum();
        self.at += n;
        value
    }

    /// Reads one symbol of the code that has these lengths (RFC 1951 §3.2.2).
    fn symbol(&mut self, code: &Code) -> usize {
        let (mut value, mut first, mut index) = (0, 0, 0);
        for count in &code.counts[1..] {
            value |= self.take(1);
            if value < first + count {
                return code.symbols[index + value - first];
            }
            index += count;
            first = (first + count) << 1;
            value <<= 1;
        }
        panic!("no such code");
    }
}

struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        lengths.iter().for_each(|&length| counts[usize::from(length)] += 1);
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&i| lengths[i] > 0).collect();
        symbols.sort_by_key(|&i| lengths[i]);
        Self { counts, symbols }
    }
}

fn stored(bits: &mut Bits<'_>, history: &mut Vec<u8>) {
    bits.at = bits.at.next_multiple_of(8);
    let len = bits.take(16);
    assert_eq!(len ^ 0xFFFF, bits.take(16));
    history.extend((0..len).map(|_| bits.take(8) as u8));
}

fn tables(bits: &mut Bits<'_>) -> (Vec<u8>, Vec<u8>) {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (n_literals, n_offsets, n_codes) = (bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4);
    let mut lengths = [0; 19];
    ORDER[..n_codes].iter().for_each(|&at| lengths[at] = bits.take(3) as u8);
    let code = Code::new(&lengths);
    let mut all: Vec<u8> = Vec::new();
    while all.len() < n_literals + n_offsets {
        let (length, times) = match bits.symbol(&code) {
            16 => (*all.last().expect("something to repeat"), bits.take(2) + 3),
            17 => (0, bits.take(3) + 3),
            18 => (0, bits.take(7) + 11),
            length => (length as u8, 1),
        };
        all.extend(std::iter::repeat_n(length, times));
    }
    let offsets = all.split_off(n_literals);
    (all, offsets)
}

fn block(bits: &mut Bits<'_>, history: &mut Vec<u8>, literals: &[u8], offsets: &[u8]) -> usize {
    let (literals, offsets) = (Code::new(literals), Code::new(offsets));
    let mut most = 0;
    loop {
        let length = match bits.symbol(&literals) {
            256 => return most,
            literal @ 0..256 => {
                history.push(literal as u8);
                continue;
            }
            285 => 258,
            // §3.2.5: eight codes without extra bits, then four for each number of them.
            symbol @ 257..265 => symbol - 254,
            symbol => {
                let extra = (symbol - 261) / 4;
                ((4 + (symbol - 261) % 4) << extra) + 3 + bits.take(extra)
            }
        };
        let distance = match bits.symbol(&offsets) {
            code @ 0..4 => code + 1,
            code => {
                let extra = (code - 2) / 2;
                ((2 + code % 2) << extra) + 1 + bits.take(extra)
            }
        };
        most = most.max(distance);
        for _ in 0..length {
            history.push(history[history.len() - distance]);
        }
    }
}
