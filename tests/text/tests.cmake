slow(text.unicode 11)
slow(text.chat 6)
