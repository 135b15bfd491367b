"""Turn text into pieces and ids, and back.

`hugging_face` has the two tokenizers with the interface that users expect. `wordpiece` has the functions that cut a
text into pieces. `vocab` trains a vocabulary.
"""

from .added import AddedToken
from .batch import BatchEncoding
from .hugging_face import ConvBertTokenizer, ConvBertTokenizerFast
