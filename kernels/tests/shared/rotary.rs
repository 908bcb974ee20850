//! What becomes of a head before attention, in f64: the reference of every backend.

/// A head after norm and rotation by `row` positions, in f64.
pub(crate) fn turned(head: &[f32], weight: Option<&[f32]>, row: usize, rotated: usize) -> Vec<f64> {
    let mut x: Vec<f64> = head.iter().map(|&x| f64::from(x)).collect();
    if let Some(weight) = weight {
        let scale = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + 1e-6).sqrt();
        x.iter_mut().zip(weight).for_each(|(x, weight)| *x *= scale * f64::from(*weight));
    }
    for i in 0..rotated / 2 {
        let (sine, cosine) = (row as f64 * 1e4f64.powf(-2.0 * i as f64 / rotated as f64)).sin_cos();
        (x[i], x[i + rotated / 2]) =
            (x[i] * cosine - x[i + rotated / 2] * sine, x[i + rotated / 2] * cosine + x[i] * sine);
    }
    x
}
