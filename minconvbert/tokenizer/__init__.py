"""Text to pieces and ids, and back.

`hugging_face` has the two tokenizers with the interface that users expect; what happens to a text is in `wordpiece`;
`vocab` trains a vocabulary.
"""

from .added import AddedToken
from .batch import BatchEncoding
from .hugging_face import ConvBertTokenizer, ConvBertTokenizerFast
