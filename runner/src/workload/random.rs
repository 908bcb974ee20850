//! CPython's `random` module, reproduced: the same seed gives the same numbers as the original's Python.
//!
//! The generator is MT19937 (M. Matsumoto, T. Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998), seeded
//! through `init_by_array` as CPython's `random_seed` does; the methods follow CPython's `Lib/random.py`.
//! `random` and `randint` are integer arithmetic and exact everywhere. `expovariate` takes a logarithm from
//! the system's libm, like CPython: its last bit may differ on another system. Arrival times only say when
//! a request is sent; nothing that is compared exactly depends on them.

const STATE_LEN: usize = 624;
const SHIFT: usize = 397;

/// Generator with the state of one `random.Random`.
#[derive(Clone)]
pub(super) struct PythonRandom {
    state: [u32; STATE_LEN],
    next: usize,
}

impl PythonRandom {
    /// `random.Random(seed)` for a non-negative integer seed.
    pub(super) fn new(seed: u64) -> Self {
        let low = seed as u32;
        let high = (seed >> 32) as u32;
        let key: &[u32] = if high == 0 { &[low] } else { &[low, high] };
        Self { state: init_by_array(key), next: STATE_LEN }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == STATE_LEN {
            self.refill();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn refill(&mut self) {
        for i in 0..STATE_LEN {
            let joined = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % STATE_LEN] & 0x7fff_ffff);
            let twist = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[i] = self.state[(i + SHIFT) % STATE_LEN] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }

    /// `random.random()`: 53 random bits in [0, 1).
    pub(super) fn random(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// `random.expovariate(rate)`: time to the next event of a Poisson process, in units of 1/`rate`'s.
    pub(super) fn expovariate(&mut self, rate: f64) -> f64 {
        -(1.0 - self.random()).ln() / rate
    }

    /// `random.randint(low, high)`, both inclusive. An empty range gives `low` and draws nothing.
    pub(super) fn randint(&mut self, low: u64, high: u64) -> u64 {
        match high.saturating_sub(low).checked_add(1) {
            Some(1) if high < low => low,
            Some(width) => low + self.below(width),
            None => self.bits(64),
        }
    }

    /// `_randbelow_with_getrandbits(width)`: draws as many bits as `width` has until the number is below it.
    fn below(&mut self, width: u64) -> u64 {
        let num_bits = u64::BITS - width.leading_zeros();
        loop {
            let drawn = self.bits(num_bits);
            if drawn < width {
                return drawn;
            }
        }
    }

    /// `random.getrandbits(num_bits)`, 1 to 64: whole words from the lowest up, the last one cut from above.
    fn bits(&mut self, num_bits: u32) -> u64 {
        if num_bits <= 32 {
            return u64::from(self.next_u32() >> (32 - num_bits));
        }
        let low = u64::from(self.next_u32());
        let high = u64::from(self.next_u32() >> (64 - num_bits));
        (high << 32) | low
    }
}

fn init_by_seed(seed: u32) -> [u32; STATE_LEN] {
    let mut state = [0; STATE_LEN];
    state[0] = seed;
    for i in 1..STATE_LEN {
        let previous = state[i - 1] ^ (state[i - 1] >> 30);
        state[i] = previous.wrapping_mul(1_812_433_253).wrapping_add(i as u32);
    }
    state
}

fn init_by_array(key: &[u32]) -> [u32; STATE_LEN] {
    let mut state = init_by_seed(19_650_218);
    let mixed = |state: &[u32; STATE_LEN], i: usize| state[i - 1] ^ (state[i - 1] >> 30);
    let mut i = 1;
    let step = |state: &mut [u32; STATE_LEN], i: &mut usize| {
        *i += 1;
        if *i == STATE_LEN {
            state[0] = state[STATE_LEN - 1];
            *i = 1;
        }
    };
    for turn in 0..STATE_LEN.max(key.len()) {
        let j = turn % key.len();
        let mix = mixed(&state, i).wrapping_mul(1_664_525);
        state[i] = (state[i] ^ mix).wrapping_add(key[j]).wrapping_add(j as u32);
        step(&mut state, &mut i);
    }
    for _ in 1..STATE_LEN {
        let mix = mixed(&state, i).wrapping_mul(1_566_083_941);
        state[i] = (state[i] ^ mix).wrapping_sub(i as u32);
        step(&mut state, &mut i);
    }
    state[0] = 0x8000_0000;
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by CPython 3.11.7: per seed `getrandbits(32)` x 4, `random()` x 3, `randint(4, 16)` x 10,
    /// `randint(1, 1)` x 2, `randint(64, 1024)` x 8, `randint(0, 2**40)`, `expovariate(100.0)` x 3.
    struct Vector {
        seed: u64,
        words: [u32; 4],
        reals: [f64; 3],
        small: [u64; 10],
        lengths: [u64; 8],
        wide: u64,
        gaps: [f64; 3],
    }

    const VECTORS: [Vector; 4] = [
        Vector {
            seed: 0,
            words: [3626764237, 1654615998, 3255389356, 3823568514],
            reals: [0.420571580830845, 0.25891675029296335, 0.5112747213686085],
            small: [10, 16, 8, 11, 9, 13, 7, 12, 6, 8],
            lengths: [697, 882, 320, 995, 609, 786, 893, 680],
            wide: 325997320459,
            gaps: [0.003712775728427207, 0.013087103594718453, 0.02291034933321936],
        },
        Vector {
            seed: 1234,
            words: [4150886329, 3342196574, 1892932127, 501869158],
            reals: [0.007491470058587191, 0.9109759624491242, 0.939268997363764],
            small: [13, 4, 14, 15, 5, 5, 16, 9, 7, 4],
            lengths: [418, 727, 702, 559, 694, 538, 216, 157],
            wide: 549605067263,
            gaps: [0.0006674071055335702, 0.007788972127637638, 0.006271694936589803],
        },
        Vector {
            seed: 1 << 32,
            words: [485306839, 1508871100, 1794561286, 4014597330],
            reals: [0.0166763664992291, 0.6117214625782752, 0.8056470212514185],
            small: [9, 12, 11, 4, 6, 5, 10, 12, 9, 9],
            lengths: [1013, 537, 229, 993, 985, 772, 184, 741],
            wide: 686715958525,
            gaps: [0.012349243830300545, 0.008209705717363592, 0.004362004585601741],
        },
        Vector {
            seed: 1,
            words: [577090037, 2444712010, 3639700191, 3445702192],
            reals: [0.763774618976614, 0.2550690257394217, 0.49543508709194095],
            small: [11, 11, 14, 10, 16, 7, 5, 11, 4, 10],
            lengths: [776, 520, 336, 802, 885, 298, 669, 168],
            wide: 699656303417,
            gaps: [0.00031067622463069655, 0.00025775205901396525, 0.007796041064717965],
        },
    ];

    #[test]
    fn draws_what_cpython_draws() {
        for vector in VECTORS {
            let mut random = PythonRandom::new(vector.seed);
            assert_eq!(std::array::from_fn(|_| random.next_u32()), vector.words, "seed {}", vector.seed);
            assert_eq!(std::array::from_fn(|_| random.random()), vector.reals, "seed {}", vector.seed);
            assert_eq!(std::array::from_fn(|_| random.randint(4, 16)), vector.small);
            assert_eq!([random.randint(1, 1), random.randint(1, 1)], [1, 1]);
            assert_eq!(std::array::from_fn(|_| random.randint(64, 1024)), vector.lengths);
            assert_eq!(random.randint(0, 1 << 40), vector.wide);
            for expected in vector.gaps {
                let gap = random.expovariate(100.0);
                assert!((gap - expected).abs() <= f64::EPSILON * expected, "{gap} is not {expected}");
            }
        }
    }

    #[test]
    fn the_whole_range_and_an_empty_one_do_not_hang() {
        let mut random = PythonRandom::new(7);
        random.randint(0, u64::MAX);
        let before = random.next;
        assert_eq!(random.randint(9, 3), 9);
        assert_eq!(random.next, before);
    }
}
