"""Makes and checks evidence and money: keys, COSE, Merkle log, receipts, channels, settlement."""
