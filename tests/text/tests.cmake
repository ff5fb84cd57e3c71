slow(text.unicode 25)
slow(text.chat 6)
