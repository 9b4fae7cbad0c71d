"""Extensions handed out by themselves: new phones of a site get the next free one, in order of arrival."""
