struct TreeNode {
    int val;
    TreeNode *left, *right;
    TreeNode(int value = 0, TreeNode *one = nullptr, TreeNode *other = nullptr) : val(value), left(one), right(other) {}
};
