"""A reproduction suite of Trained Ternary Quantization (Zhu, Han, Mao, Dally; ICLR 2017)."""

__version__ = "0.1.0"
